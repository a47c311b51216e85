"""Puts translations in the places of the sentences of a layout."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lengthwise.text import protection, sentence
from lengthwise.text.convention import Convention
from lengthwise.text.formats import element
from lengthwise.text.layout import line_break
from lengthwise.text.layout.layout import Pieces, Sentence, Value
from lengthwise.text.layout.line_break import FIRST_BREAK
from lengthwise.text.layout.marked import FIRST_MARK, PRIVATE, is_markup
from lengthwise.text.normal import normal
from lengthwise.text.part import n_letters

_MARK = re.compile(f"({PRIVATE.pattern})")
#: Blanks that may hold a line end or a tab.
_BLANKS = re.compile(r"\s{2,}|[^\S ]")
_BREAKS = frozenset("\t\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
#: Words that end in one of these make another placeholder of the one that follows, as ``$`` before ``{name}``.
_JOINS = re.compile(r"[%$#\\]\Z")
#: Begins a placeholder or comment that may end anywhere after it. An ICU message has braces in apostrophes.
_OPENS = re.compile(r"\{(?!')[^{}]*\Z|<!--")
_TAG_NAME = re.compile(r"</?([A-Za-z][A-Za-z0-9]*+)")
#: A tag that is not closed takes in the next one.
_UNCLOSED = re.compile(r"<[A-Za-z/!?][^<>]*+(?=<)")
#: An answer without a character is no translation of so many letters.
_FEW_LETTERS = 4


class MarksDiffer(Exception):
    """A translation lost or repeated a mark, changed the order of markup, or wrote a placeholder of its own."""


def sentences(pieces: Pieces) -> Iterator[Sentence]:
    """The sentences to translate, in the order in which ``filled`` takes their translations."""
    for piece in pieces:
        if isinstance(piece, Sentence):
            yield piece
            for value in piece.values:
                yield from sentences(value.pieces or [])


def filled(
    pieces: Pieces, translations: Sequence[str], language: str | None, conventions: frozenset[Convention]
) -> str | None:
    """The text with its translations into ``language``, one for each of ``sentences(pieces)``.

    None if the placeholders and tags are not those of the source. ``conventions``: those that were protected.
    """
    strict = conventions & protection.STRICT
    try:
        text = _Filling(iter(translations), language, strict).join(pieces)
    except MarksDiffer:
        return None
    return None if any("<" in answer for answer in translations) and _has_more_tags(text, pieces, strict) else text


def _has_more_tags(text: str, pieces: Pieces, strict: frozenset[Convention]) -> bool:
    """Whether the words of a translation and what is kept after them make a tag together."""
    if Convention.TAGS not in strict:
        return False
    source = "".join(piece if isinstance(piece, str) else piece.raw for piece in pieces)
    return bool(_tags(text) - _tags(source)) or _n_unclosed(text) > _n_unclosed(source)


def _tags(text: str) -> Counter[str]:
    """How often each tag of HTML is in a text, and under no name how often others are, whose words may change."""
    found: Counter[str] = Counter()
    for tag, n in protection.counts(text, frozenset({Convention.TAGS})).items():
        name = _TAG_NAME.match(tag)
        found[name[0].lower() if name and name[1].lower() in element.KNOWN else ""] += n
    return found


def _n_unclosed(text: str) -> int:
    return len(_UNCLOSED.findall(text, 0, text.rfind(">") + 1))


@dataclass(frozen=True, slots=True)
class _Filling:
    translations: Iterator[str]
    language: str | None
    strict: frozenset[Convention]

    def join(self, pieces: Pieces) -> str:
        """Blanks between two sentences follow the target language, unless both came back as they were."""
        if len(pieces) == 1:
            return pieces[0] if isinstance(pieces[0], str) else self._written(pieces[0])
        written = [piece if isinstance(piece, str) else self._written(piece) for piece in pieces]
        changed = [
            isinstance(piece, Sentence) and text != piece.raw for piece, text in zip(pieces, written, strict=True)
        ]
        has_blanks = sentence.has_blanks(self.language)
        joined = []
        for index, text in enumerate(written):
            is_first = index == 0
            if has_blanks and not is_first and _are_sentences(pieces[index - 1 : index + 1]):
                joined.append(" " if changed[index - 1] or changed[index] else "")
            is_between = text == " " and _are_sentences(pieces[index - 1 : index + 2 : 2]) and not is_first
            if is_between and not has_blanks and (changed[index - 1] or changed[index + 1]):
                continue
            joined.append(text)
        return "".join(joined)

    def _written(self, piece: Sentence) -> str:
        """One translated sentence in the source's format."""
        answer = next(self.translations).strip()
        values = [self._value(value) for value in piece.values]
        if answer == piece.text and values == [value.part.raw for value in piece.values]:
            return piece.raw
        answer = _in_one_line(answer, piece.text)
        if not values:
            answer = PRIVATE.sub("", answer)  # a model that knows marks may invent some
            if not answer and n_letters(piece.text) >= _FEW_LETTERS:
                return piece.raw
        elif not _have_same_marks(piece, answer):
            raise MarksDiffer
        if _joins_marks(answer) and not _joins_marks(piece.text):
            raise MarksDiffer
        if piece.breaks:
            answer = line_break.put(answer, len(piece.text), piece.breaks)
        parts = _MARK.split(answer)
        kept = {chr(FIRST_MARK + number): value for number, value in enumerate(values)}
        kept |= {chr(FIRST_BREAK + number): each.raw for number, each in enumerate(piece.breaks)}
        parts[::2] = [self._words(piece, part) for part in parts[::2]]
        parts[1::2] = [kept[mark] for mark in parts[1::2]]
        return "".join(parts)

    def _words(self, piece: Sentence, words: str) -> str:
        """Translated words in the source's format."""
        found = protection.counts(words, self.strict)
        if found and found - self._own(piece):
            raise MarksDiffer
        encoded = piece.encode(words)
        if self.strict and _OPENS.search(encoded) and not _OPENS.search(piece.raw):
            raise MarksDiffer
        return encoded

    def _own(self, piece: Sentence) -> Counter[str]:
        """What is seen as a placeholder if the words of the source are read by themselves: ``$b`` of ``:a$b``."""
        parts = _MARK.split(piece.text)[::2]
        return sum((protection.counts(part, self.strict) for part in parts), Counter())

    def _value(self, value: Value) -> str:
        return value.part.raw if value.pieces is None else self.join(value.pieces)


def _joins_marks(text: str) -> bool:
    return any(map(_JOINS.search, _MARK.split(text)[:-1:2]))


def _in_one_line(answer: str, source: str) -> str:
    """The answer without control characters, and without line ends or tabs if the source has none."""
    if _BREAKS.isdisjoint(source):
        answer = _BLANKS.sub(lambda found: found[0] if _BREAKS.isdisjoint(found[0]) else " ", answer)
    return normal(answer).strip()


def _are_sentences(pieces: Sequence[str | Sentence]) -> bool:
    return len(pieces) == 2 and all(isinstance(piece, Sentence) for piece in pieces)


def _have_same_marks(piece: Sentence, answer: str) -> bool:
    before, after = PRIVATE.findall(piece.text), PRIVATE.findall(answer)
    markup = {chr(FIRST_MARK + number) for number, value in enumerate(piece.values) if is_markup(value.part)}
    return Counter(before) == Counter(after) and _only(before, markup) == _only(after, markup)


def _only(marks: Sequence[str], wanted: set[str]) -> list[str]:
    return [mark for mark in marks if mark in wanted]
