"""Finds the sentences of a text, for models that were trained on one sentence at a time.

``sentencex`` knows the abbreviations of some thirty languages, and which language is like which. Here is what it
lacks: a sentence ends only at one of Unicode's stops, and not where ``stop.joins`` says so; a newline always ends one.
This is cautious, since two sentences together are translated better than half a sentence. Pure, linear in the text's
length; knows nothing of models.

U+E000 stands for a placeholder, which may be the first word of a sentence. Further characters of the private use area
stand for tags. They are never seen as letters.
"""

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import pairwise

import regex
import sentencex

from lengthwise.text import script, stop

_MARK = "\ue000-\uf8ff"
_NEWLINE = "\n\r\v\f\x85\u2028\u2029"
#: All stops of the Basic Multilingual Plane, such as ``.``, ``。``, ``؟`` and ``።``; and those of them that end a
#: sentence even if no blank follows.
_STOPS = re.escape("".join(regex.findall(r"\p{Sentence_Terminal}", "".join(map(chr, range(0x10000))))) + "…‥")
_WIDE = re.sub(r"\\?[.!?…‥]", "", _STOPS)
#: Scripts that write no blank between two sentences, whatever the stop.
_UNSPACED = "\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
#: Stops that sentencex does not know, such as Khmer's.
_UNKNOWN = {char for char in _WIDE if len(sentencex.segment("en", f"ab{char} Cd")) == 1}
_CLOSERS = re.escape(stop.CLOSERS)
#: What stands at the end of a sentence: one or several stops, and what closes after them. Another stop must not follow.
#: The pattern begins with one class, for speed, at the first of several stops, and never goes back: it is linear.
_END = (
    rf"(?<![{_STOPS}][{_STOPS}])(?:[{_STOPS}]*+(?:(?<=[{_WIDE}])(?<!\d．(?=\d))[{_CLOSERS}]*+"
    rf"|[{_CLOSERS}{_MARK}]*+(?:[{stop.NARROW}][»›])?(?=\s))"
    rf"|(?<=[{_UNSPACED}].)[.!?]*+(?=[{_MARK}]*+[{_UNSPACED}]))(?=\s*+[^\s{_STOPS}])"
)
_CANDIDATE = re.compile(f"[{_STOPS}]{_END}")
#: Without any of these, a text is one sentence.
_ANY_END = re.compile(f"[{_STOPS}{_NEWLINE}](?:(?<=[{_NEWLINE}])|{_END})")
_LINE_END = re.compile(rf"[{_NEWLINE}]\s*+")
#: A mark belongs to the sentence before it only if nothing follows it. Otherwise it begins the next one.
_AFTER = re.compile(rf"(?:[{_MARK}]++(?=\s|$))?\s*+")
_MARKED = re.compile(rf"[{_MARK}]")
#: A placeholder after a stop is read as a name: what follows in small letters does not continue the sentence.
_FIRST_WORD = re.compile(rf"([{_STOPS}][{_CLOSERS}]*+\s++)\ue000(?!\w)")
#: Where a text may be cut, from the best place to the last resort: clauses, words, characters as a reader sees them;
#: and how far from an even cut, in parts of a piece. A character that combines with the blank before it stays with it.
_WHOLE = r"(?!\p{Grapheme_Cluster_Break=Extend}|\p{Grapheme_Cluster_Break=SpacingMark}|\p{Grapheme_Cluster_Break=ZWJ})"
_CUTS = (
    (
        regex.compile(rf"(?:[{_STOPS},;:،؛–—)\]][{_CLOSERS}]*+\s++|[{_WIDE}，、；：][{_CLOSERS}]*+\s*+){_WHOLE}"),
        0.4,
    ),
    (regex.compile(rf"\s++{_WHOLE}"), 0.75),
    (regex.compile(r"\X"), math.inf),
)
#: sentencex is quadratic on some texts, so it sees so many characters at a time, with some before and after them.
_WINDOW, _MARGIN = 2_000, 200
#: The language whose rules are used for texts of an unknown language, by script.
_LANGUAGE_OF_SCRIPT = (
    ("ru", "\u0400-\u052f"),
    ("el", "\u0370-\u03ff"),
    ("ar", "\u0600-\u06ff"),
    ("hi", "\u0900-\u097f"),
)
_SPACELESS_LANGUAGES = frozenset({"ja", "km", "lo", "my", "th", "yue", "zh"})


def ends(text: str, language: str | None) -> list[int]:
    """Where the sentences of a text end, in characters, increasing; the last one is ``len(text)``.

    The blanks after a sentence belong to it, and those before the first one to the first. ``language`` is a code of
    ISO 639-1 or BCP 47; if it is None, the script decides. A lone surrogate raises ``UnicodeEncodeError``.
    """
    if not _ANY_END.search(text):
        return [len(text)]
    code = script.primary(language) or _guess(text)
    found = []
    start = 0
    for end in _line_ends(text):
        found += _inner_ends(text, start, end, code)
        found.append(end)
        start = end
    return found


def _line_ends(text: str) -> Iterator[int]:
    begin = len(text) - len(text.lstrip())
    for newline in _LINE_END.finditer(text, begin):
        if newline.end() < len(text):
            yield newline.end()
    yield len(text)


def _inner_ends(text: str, start: int, end: int, language: str) -> list[int]:
    """The ends of sentences within a line, without that of the line."""
    line = _FIRST_WORD.sub(r"\1X", text[start:end])
    plain = _MARKED.sub("", line)
    ends = list(_plain_ends(plain, language))
    if ends and len(plain) < len(line):
        places = [place for place, char in enumerate(line) if not "\ue000" <= char <= "\uf8ff"]
        ends = [places[end - 1] + 1 for end in ends]
    blanks = filter(None, (_AFTER.match(line, end) for end in ends))
    return [start + blank.end() for blank in blanks if blank.end() < len(line)]


def _plain_ends(line: str, language: str) -> Iterator[int]:
    """Where the sentences of a line without marks end, blanks aside."""
    candidates = list(_CANDIDATE.finditer(line))
    if not candidates:
        return
    known = _known_ends(line, language)
    start = 0
    for candidate in candidates:
        is_known = candidate.end() in known or candidate[0][0] in _UNKNOWN
        if not stop.joins(line, start, candidate, is_known, language):
            yield candidate.end()
            start = candidate.end()


def _known_ends(line: str, language: str) -> set[int]:
    """The ends that sentencex finds, blanks aside."""
    found = set()
    for start in range(0, len(line), _WINDOW):
        left = max(0, start - _MARGIN)
        window = line[left : start + _WINDOW + _MARGIN]
        for sentence in sentencex.get_sentence_boundaries(language, window):
            core = window[sentence["start_index"] : sentence["end_index"]].rstrip()
            end = left + sentence["start_index"] + len(core)
            if start < end <= start + _WINDOW:
                found.add(end)
    return found


def _guess(text: str) -> str:
    counts = {language: len(re.findall(f"[{letters}]", text)) for language, letters in _LANGUAGE_OF_SCRIPT}
    language = max(counts, key=counts.__getitem__)
    return language if counts[language] > len(text) // 4 else "en"


def cut(text: str, limit: int, count: Callable[[list[str]], list[int]]) -> list[int]:
    """Where to cut a text so that no piece has more than ``limit`` tokens; increasing, the last one is ``len(text)``.

    The pieces are few and about equally long. They end after a stop or a clause, else after a word, else after a
    character as a reader sees it; one that has more tokens than the limit stays whole. ``count`` gives the tokens of
    each of some texts. It is called about log(pieces) times, each time for at most the whole text.
    """
    done: list[int] = []
    spans = [(0, len(text))]
    while spans:
        divided = []
        for (start, end), tokens in zip(spans, count([text[start:end] for start, end in spans]), strict=True):
            parts = _divided(text, start, end, -(-tokens // limit)) if tokens > limit else []
            if len(parts) > 1:
                divided += parts
            else:
                done.append(end)
        spans = divided
    return sorted(done)


def _divided(text: str, start: int, end: int, n_parts: int) -> list[tuple[int, int]]:
    """The spans of about ``n_parts`` parts of about the same length. A single one if there is nowhere to cut."""
    size = (end - start) / n_parts
    places = [start + size * part for part in range(1, n_parts)]
    cuts = {start, end}
    for pattern, reach in _CUTS:
        found = [match.end() for match in pattern.finditer(text, start, end)]
        nearest = {place: _nearest(found, place) for place in places}
        good = {place: cut for place, cut in nearest.items() if abs(cut - place) <= size * reach}
        cuts.update(good.values())
        places = [place for place in places if place not in good]
        if not places:
            break
    return list(pairwise(sorted(cuts)))


def _nearest(places: list[int], place: float) -> int:
    """The one of the sorted ``places`` that is nearest to ``place``; -1 if there is none."""
    index = bisect_left(places, place)
    return min(places[max(0, index - 1) : index + 1], key=lambda each: abs(each - place), default=-1)


def has_blanks(language: str | None) -> bool:
    """Whether the language writes a blank between two sentences."""
    return script.primary(language) not in _SPACELESS_LANGUAGES
