"""Reads Markdown (CommonMark with tables) in passages: paragraphs, headings and cells. Everything else is kept."""

import re
from bisect import bisect_right
from collections.abc import Container, Mapping
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from lengthwise.text.formats import escaped, html, markdown_inline, plain
from lengthwise.text.formats.document import Builder
from lengthwise.text.formats.spelling import CELL_ESCAPES, MARKDOWN_ESCAPES, MarkdownSpelling
from lengthwise.text.formats.visible import Piece, joined
from lengthwise.text.part import Document, Kept, Part

#: Deeper quotes and lists are not read by the parser.
_NESTING = 100
_PARSER = MarkdownIt("commonmark", {"maxNesting": _NESTING}).enable("table").disable("inline")
_CELLS = ("th_open", "td_open")
_LINE_END = re.compile(r"\r\n?|\n")
_HARD_BREAK = re.compile(r"[^\S\r\n]*(?<=  )[\r\n]")
_FRONT_MATTER = re.compile(r"(---|\+\+\+)[ \t]*\r?\n(?=[\w.-]++[ \t]*[:=])[\s\S]*?\n\1[ \t]*(?:\r?\n|\Z)")

#: What begins the first line of a paragraph and is not of its words: the kind of a quote, which is a line of its own;
#: the box of a task, or the mark of a footnote.
_ALERT = re.compile(r"\[![A-Za-z]{1,30}+\][ \t]*")
_LEAD = re.compile(r"\[[ xX]\](?=\s)|\[\^[^\s\[\]]{1,100}+\]:(?=\s)")


def read(text: str) -> Document:
    """The passages of a Markdown text, and what is kept between them.

    A paragraph is one passage even if it has several lines. An HTML block is read as HTML. A text that is nested too
    deep is read as plain text.
    """
    front = _FRONT_MATTER.match(text)
    reader = _MarkdownReader(text, front.end() if front else 0)
    if any(token.level >= _NESTING - 2 for token in reader.blocks):
        return plain.read(text)
    previous = None
    for token in reader.blocks:
        reader.take(token, previous)
        previous = token
    return reader.end()


class Inset:
    """The words of a paragraph, without the marks and blanks at the edges of its lines.

    ``content`` is what a Markdown parser reads, with one newline between the lines.
    """

    def __init__(self, source: str, lines: list[tuple[int, int]]) -> None:
        self._source, self._lines = source, lines
        self.content = "\n".join(source[start:end] for start, end in lines)
        self._starts = [0]
        for start, end in lines[:-1]:
            self._starts.append(self._starts[-1] + end - start + 1)

    def raw(self, start: int, end: int) -> str:
        """What stands in the source for ``content[start:end]``."""
        return self._source[self._place(start) : self._place(end)]

    def _place(self, at: int) -> int:
        line = bisect_right(self._starts, at) - 1
        return self._lines[line][0] + at - self._starts[line]

    @property
    def start(self) -> int:
        return self._lines[0][0]

    @property
    def end(self) -> int:
        return self._lines[-1][1]


class _MarkdownReader:
    def __init__(self, text: str, start: int) -> None:
        """Reads ``text`` from ``start`` on. What is before is kept."""
        self._text, self._at = text, 0
        ends = [(found.start(), found.end()) for found in _LINE_END.finditer(text, start)]
        #: Where each line begins, and where it ends without its line end.
        self._lines = list(zip([start] + [end for _, end in ends], [end for end, _ in ends] + [len(text)], strict=True))
        environment: dict[str, Any] = {}
        self.blocks = _PARSER.parse(text[start:], environment)
        self._labels: Mapping[str, Any] = environment.get("references", {})
        self._document = Builder()

    def end(self) -> Document:
        self._document.keep(self._text[self._at :])
        return self._document.end()

    def take(self, token: Token, previous: Token | None) -> None:
        if token.type == "html_block" and token.level == 0 and token.map:
            start, end = self._lines[token.map[0]][0], self._lines[token.map[1] - 1][1]
            self._keep_until(start)
            self._document.extend(html.read(self._text[start:end]))
            self._at = end
        elif token.type == "inline" and token.map and previous and (inset := self._inset(token, previous)):
            self._keep_until(inset.start)
            self._passage(inset, previous)
            self._at = inset.end

    def _keep_until(self, place: int) -> None:
        self._document.keep(self._text[self._at : place])

    def _inset(self, token: Token, opened: Token) -> Inset | None:
        """Where the words of ``token`` are. None if it has none, as an empty cell."""
        content = token.content.replace("|", "\\|") if opened.type in _CELLS else token.content
        numbers = iter(range(*(token.map or (0, 0))))
        lines: list[tuple[int, int]] = []
        for words in filter(None, (line.strip(" \t") for line in content.split("\n"))):
            for number in numbers:
                start = max(self._lines[number][0], self._at)
                line = self._text[start : self._lines[number][1]].replace("\0", "\ufffd")
                if (place := _place(line, words, opened)) >= 0:
                    lines.append((start + place, start + place + len(words)))
                    break
        if lines and _ALERT.fullmatch(self._text, *lines[0]):
            del lines[0]
        if lines and (lead := _LEAD.match(self._text, *lines[0])):
            lines[0] = lead.end(), lines[0][1]
        return Inset(self._text, lines) if lines else None

    def _passage(self, inset: Inset, opened: Token) -> None:
        parts, pieces, has_code = _inline(inset, self._labels)
        is_cell = opened.type in _CELLS
        begins_line = not is_cell and not opened.markup.startswith("#")
        encode = MarkdownSpelling(pieces, CELL_ESCAPES if is_cell else MARKDOWN_ESCAPES, begins_line).encode
        self._document.passage(parts, encode, has_code=has_code)


def _place(line: str, words: str, opened: Token) -> int:
    """Where ``words`` are in their line, by the block that was ``opened``. Negative if they are not there."""
    if opened.type in _CELLS:
        return line.find(words)
    if opened.markup.startswith("#"):
        return line.find(words, line.find("#") + len(opened.markup))
    place = line.rfind(words)
    return -1 if line[place + len(words) :].strip() else place


def _inline(inset: Inset, labels: Container[str]) -> tuple[list[Part], list[Piece], bool]:
    """The parts of a paragraph, the pieces of all its runs, and whether code is kept among them."""
    parts: list[Part] = []
    spelled: list[Piece] = []
    pieces: list[Piece] = []
    at, has_code = 0, False

    def end_run() -> None:
        nonlocal pieces, has_code
        if pieces:
            run = escaped.parts(joined(pieces))
            has_code |= any(isinstance(part, Kept) for part in run)
            parts.extend(run)
            spelled.extend(pieces)
            pieces = []

    def add_plain(end: int) -> None:
        if plain := inset.content[at:end]:
            pieces.append(Piece(plain, plain))

    for found in markdown_inline.stretches(inset.content, labels):
        add_plain(found.start)
        raw, at = inset.raw(found.start, found.end), found.end
        if found.text is None or (found.text == " " and _HARD_BREAK.match(raw)):
            end_run()
            parts.append(Kept(raw))
            has_code |= found.is_code
        else:
            pieces.append(Piece(raw, found.text))
    add_plain(len(inset.content))
    end_run()
    return parts, spelled, has_code
