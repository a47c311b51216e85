"""Puts translations in the places of the sentences of a layout."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lengthwise.text import protection, sentence
from lengthwise.text.convention import Convention
from lengthwise.text.layout.layout import Pieces, Sentence, Value
from lengthwise.text.layout.marked import FIRST_MARK, PRIVATE, is_markup

_MARK = re.compile(f"({PRIVATE.pattern})")


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
    try:
        return _Filling(iter(translations), language, conventions & protection.STRICT).join(pieces)
    except MarksDiffer:
        return None


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
        if not values:
            return self._words(piece, PRIVATE.sub("", answer))  # a model that knows marks may invent some
        if not _have_same_marks(piece, answer):
            raise MarksDiffer
        parts = _MARK.split(answer)
        parts[::2] = [self._words(piece, part) for part in parts[::2]]
        parts[1::2] = [values[ord(mark) - FIRST_MARK] for mark in parts[1::2]]
        return "".join(parts)

    def _words(self, piece: Sentence, words: str) -> str:
        """Translated words in the source's format."""
        if protection.counts(words, self.strict):
            raise MarksDiffer
        return piece.encode(words)

    def _value(self, value: Value) -> str:
        return value.part.raw if value.pieces is None else self.join(value.pieces)


def _are_sentences(pieces: Sequence[str | Sentence]) -> bool:
    return len(pieces) == 2 and all(isinstance(piece, Sentence) for piece in pieces)


def _have_same_marks(piece: Sentence, answer: str) -> bool:
    before, after = PRIVATE.findall(piece.text), PRIVATE.findall(answer)
    markup = {chr(FIRST_MARK + number) for number, value in enumerate(piece.values) if is_markup(value.part)}
    return Counter(before) == Counter(after) and _only(before, markup) == _only(after, markup)


def _only(marks: Sequence[str], wanted: set[str]) -> list[str]:
    return [mark for mark in marks if mark in wanted]
