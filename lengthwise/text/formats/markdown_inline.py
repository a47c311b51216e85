"""Reads the inside of a Markdown paragraph: what is code, a target or a mark is kept, and the words are runs.

Linear in the paragraph's length. Where CommonMark's rules are not linear it decides as they do in all usual cases: a
mark of emphasis counts if one that ends it follows, and a bracket if a target follows it.
"""

import html
import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Container
from dataclasses import dataclass

from markdown_it.common.utils import isMdAsciiPunct, isPunctChar, isWhiteSpace, normalizeReference

from lengthwise.text.formats import element

_TOKEN = re.compile(
    r"(?P<escape>\\[!-/:-@\[-`{-~])"
    r"|(?P<code>`+)"
    r"|(?P<autolink><(?:[A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]*+|[^\s<>@]{1,254}+@[^\s<>@]{1,254}+)>)"
    r"|(?P<tag></?[A-Za-z][A-Za-z0-9-]*+"
    r"(?:\s++[A-Za-z_:][\w:.-]*+(?:\s*+=\s*+(?:[^\s\"'=<>`]++|'[^']*+'|\"[^\"]*+\"))?+)*+\s*+/?>)"
    r"|(?P<comment><!--)"
    r"|(?P<reference>&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});)"
    r"|(?P<footnote>\[\^[^\s\[\]]{1,100}+\])"
    r"|(?P<open>!?\[)"
    r"|(?P<close>\])"
    r"|(?P<emphasis>\*+|_+|~~)"
    r"|(?P<hard>\\\n|[\v\f\x1c-\x1e\x85\u2028\u2029])"
    r"|(?P<soft>\n)"
)
_TITLE = r"\"(?:[^\"\\]|\\.)*+\"|'(?:[^'\\]|\\.)*+'|\((?:[^()\\]|\\.)*+\)"
_TARGET = re.compile(
    r"\(\s*+(?:<(?:[^<>\n\\]|\\.)*+>|(?:[^\s()<\\]|\\[\S ])(?:[^\s()\\]|\\\S|\((?:[^\s()\\]|\\\S)*+\))*+)?+"
    rf"(?:\s++(?:{_TITLE}))?+\s*+\)",
    re.DOTALL,
)
_LABEL = re.compile(r"\[(?:[^\[\]\\]|\\.){0,999}+\]", re.DOTALL)


@dataclass(slots=True)
class Stretch:
    """What stands between ``start`` and ``end``. ``text`` is what a reader sees there; it is None if it is kept."""

    start: int
    end: int
    text: str | None = None
    #: Whether a reader sees it although it is kept, as a code span.
    is_code: bool = False


def stretches(content: str, labels: Container[str]) -> list[Stretch]:
    """All that is not plain in ``content``, in order. ``labels`` are those of the text's link definitions."""
    scanner = _Scanner(content, labels)
    at = 0
    while found := _TOKEN.search(content, at):
        at = scanner.take(found)
    return scanner.found


class _Scanner:
    def __init__(self, content: str, labels: Container[str]) -> None:
        self.found: list[Stretch] = []
        self._content, self._labels = content, labels
        #: Indices of open brackets.
        self._brackets: list[int] = []
        #: For each mark of emphasis, the indices of those that are open and how many of their characters are left.
        self._emphasis: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        #: Where the runs of backticks of each length begin.
        self._ticks: dict[int, list[int]] | None = None
        #: Ends that are not found any more.
        self._missing: set[str] = set()

    def add(self, stretch: Stretch) -> int:
        self.found.append(stretch)
        return stretch.end

    def take(self, found: re.Match[str]) -> int:
        """Adds what was found, and returns where the search goes on."""
        start, end, raw = found.start(), found.end(), found[0]
        match found.lastgroup:
            case "code":
                closed = self._code_end(start, end)
                return self.add(Stretch(start, closed, is_code=True)) if closed else end
            case "escape":
                return self.add(Stretch(start, end, raw[1]))
            case "soft":
                return self.add(Stretch(start, end, " "))
            case "reference":
                return self.add(Stretch(start, end, _decoded(raw)))
            case "comment":
                closed = self._end_of("-->", end)
                return self.add(Stretch(start, closed)) if closed else end
            case "tag":
                return self._take_tag(start, end, raw)
            case "open":
                self._brackets.append(len(self.found))
                return self.add(Stretch(start, end, raw))
            case "close":
                return self._take_close(start, end)
            case "emphasis":
                return self._take_emphasis(start, end, raw)
            case kind:
                return self.add(Stretch(start, end, is_code=kind != "hard"))

    def _code_end(self, start: int, end: int) -> int | None:
        if self._ticks is None:
            self._ticks = defaultdict(list)
            for run in re.finditer("`+", self._content):
                self._ticks[len(run[0])].append(run.start())
        starts = self._ticks.get(end - start, [])
        index = bisect_left(starts, end)
        return starts[index] + end - start if index < len(starts) else None

    def _end_of(self, sought: str, at: int) -> int | None:
        """Where ``sought`` ends. What is not found once is not sought again, so that the search is linear."""
        place = -1 if sought in self._missing else self._content.find(sought, at)
        if place < 0:
            self._missing.add(sought)
            return None
        return place + len(sought)

    def _take_tag(self, start: int, end: int, raw: str) -> int:
        """Keeps a tag, and with it the content of an element such as ``<kbd>``."""
        name = re.match(r"<([A-Za-z][A-Za-z0-9-]*+)", raw)
        is_kept = name is not None and name[1].lower() in element.KEPT and raw[-2] != "/"
        closed = self._end_of(f"</{name[1]}>", end) if name and is_kept else None
        return self.add(Stretch(start, closed or end, is_code=closed is not None))

    def _take_close(self, start: int, end: int) -> int:
        if not self._brackets:
            return end
        index = self._brackets.pop()
        opening = self.found[index]
        label = _LABEL.match(self._content, end)
        is_empty = label is None or label[0] == "[]"
        target = _TARGET.match(self._content, end) or (None if is_empty else label)
        if target is None and self._is_label(opening.end, start):
            return self._keep_from(index, label.end() if label else end)
        if target is None:
            return end
        opening.text = None
        return self.add(Stretch(start, target.end()))

    def _is_label(self, start: int, end: int) -> bool:
        return end - start < 1000 and normalizeReference(self._content[start:end]) in self._labels

    def _keep_from(self, index: int, end: int) -> int:
        """Keeps all from a bracket on: its words are also the label that finds its target."""
        start = self.found[index].start
        del self.found[index:]
        for opened in self._emphasis.values():
            while opened and opened[-1][0] >= index:
                opened.pop()
        return self.add(Stretch(start, end, is_code=True))

    def _take_emphasis(self, start: int, end: int, raw: str) -> int:
        can_open, can_close = _flanks(self._content, start, end)
        opened, left = self._emphasis[raw[0]], len(raw)
        stretch = Stretch(start, end, raw)
        while can_close and left and opened:
            index, length = opened.pop()
            self.found[index].text = stretch.text = None
            if length > left:
                opened.append((index, length - left))
            left = max(0, left - length)
        if can_open and left:
            opened.append((len(self.found), left))
        return self.add(stretch)


def _decoded(reference: str) -> str | None:
    """The character of a reference; None if it is a line break, or has no meaning of its own."""
    text = html.unescape(reference)
    return None if text and unicodedata.category(text[0]) in ("Cc", "Co") else text


def _flanks(content: str, start: int, end: int) -> tuple[bool, bool]:
    """Whether a run of marks can begin emphasis, and whether it can end it, by CommonMark's rules."""
    before, after = content[start - 1 : start] or " ", content[end : end + 1] or " "
    is_after_blank, is_before_blank = isWhiteSpace(ord(before)), isWhiteSpace(ord(after))
    is_after_mark, is_before_mark = _is_punctuation(before), _is_punctuation(after)
    can_open = not is_before_blank and (not is_before_mark or is_after_blank or is_after_mark)
    can_close = not is_after_blank and (not is_after_mark or is_before_blank or is_before_mark)
    if content[start] != "_":
        return can_open, can_close
    return can_open and (not can_close or is_after_mark), can_close and (not can_open or is_before_mark)


def _is_punctuation(char: str) -> bool:
    return isMdAsciiPunct(ord(char)) or isPunctChar(char)
