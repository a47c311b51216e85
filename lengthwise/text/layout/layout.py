"""Lays a text out: sentences for the model, and between them all that is kept.

Pure, and linear in the text's length. Knows nothing of models but how many marks one copies and how long it reads.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

from lengthwise.text import formats, protection, sentence
from lengthwise.text.convention import Convention
from lengthwise.text.formats import TextFormat
from lengthwise.text.layout import line_break, message
from lengthwise.text.layout.line_break import LineBreak
from lengthwise.text.layout.marked import MarkedText, numbered, raw_of
from lengthwise.text.part import Branch, Choice, Kept, Part, Run, has_letter, has_words
from lengthwise.text.protection.message import is_plural

#: Writes translated words in the source's format.
Encode = Callable[[str], str]


class Sentence(NamedTuple):
    """What the model reads at once."""

    #: With marks for its placeholders and tags.
    text: str
    #: How it stood in the source.
    raw: str
    encode: Encode
    #: What the marks stand for, by their number.
    values: "tuple[Value, ...]" = ()
    #: Line breaks that the text has as blanks.
    breaks: tuple[LineBreak, ...] = ()


class Value(NamedTuple):
    """What a mark stands for. A message with branches has pieces of its own."""

    part: Part
    pieces: "Pieces | None" = None


#: Texts that are kept, and sentences, in order. Joined, they are the text that was laid out.
Pieces = list["str | Sentence"]


class TokenLimit(Protocol):
    """How long a model reads."""

    def allows(self, text: str) -> bool:
        """Whether the model reads ``text`` whole. It is asked for every sentence, so it should seldom count tokens."""
        ...

    def cut(self, text: str) -> Sequence[int]:
        """Where to cut a text that is too long; the last place is its end."""
        ...


@dataclass(frozen=True, slots=True)
class LayoutRules:
    """How a text is laid out. ``format`` is None if it is to be guessed from the text."""

    conventions: frozenset[Convention]
    language: str | None
    format: TextFormat | None = None
    #: Whether the model was trained on sentences. Otherwise it reads whole passages.
    is_by_sentence: bool = True
    #: The most different marks in a sentence that the model copies. Texts with more are cut around them.
    n_marks: int = 0
    limit: TokenLimit | None = None


def lay_out(text: str, rules: LayoutRules) -> Pieces:
    """The pieces of a text."""
    found: Pieces = []
    for each in formats.read(text, rules.format or formats.guess(text)):
        if isinstance(each, Kept):
            found.append(each.raw)
            continue
        parts = [part for piece in each.parts for part in _protected(piece, rules.conventions)]
        passage = _Passage(each.encode, rules)
        if _is_message(parts):
            passage = _Passage(message.encoder(each.encode), rules, in_format=each.encode)
        found += passage.lay_out(parts)
    return [piece for piece in found if piece]


def _is_message(parts: Sequence[Part]) -> bool:
    """Whether the parts are an ICU message. One in whose words braces stand is none, or a broken one."""
    has_branches = any(isinstance(part, Choice) for part in parts)
    return has_branches and not any(isinstance(part, Run) and ("{" in part.text or "}" in part.text) for part in parts)


def _protected(part: Part, conventions: frozenset[Convention]) -> Sequence[Part]:
    if isinstance(part, Run):
        return protection.find(part, conventions)
    return [part._replace(is_markup=True)] if isinstance(part, Kept) else [part]


@dataclass(frozen=True, slots=True)
class _Passage:
    encode: Encode
    rules: LayoutRules
    #: What ``encode`` would be outside of an ICU message; None if the passage is none.
    in_format: Encode | None = None

    def lay_out(self, parts: Sequence[Part]) -> Iterator[str | Sentence]:
        if len(parts) == 1 and isinstance(run := parts[0], Run) and run.starts is None:
            yield from self._plain(run.text)
            return
        text = MarkedText(parts)
        for piece in text.cut(self._ends(text.text)):
            yield from self._trimmed(piece, self._fitting)

    def _plain(self, text: str) -> Iterator[str | Sentence]:
        """Words without anything else, as most texts are. What ``lay_out`` would give, in a fifth of the time."""
        start = 0
        for end in self._ends(text):
            piece = text[start:end]
            words = piece.strip()
            if not has_letter(words):
                yield piece
            elif self.rules.limit is not None and not self.rules.limit.allows(words):
                yield from self._trimmed([Run.plain(piece)], self._fitting)
            else:
                before, _, after = piece.partition(words)
                yield before
                yield Sentence(words, words, self.encode)
                yield after
            start = end

    def _ends(self, text: str) -> Sequence[int]:
        return sentence.ends(text, self.rules.language) if self.rules.is_by_sentence else [len(text)]

    def _trimmed(
        self, parts: Sequence[Part], lay_out: Callable[[Sequence[Part]], Iterator[str | Sentence]]
    ) -> Iterator[str | Sentence]:
        """Keeps the blanks around some words. ``lay_out`` gives the pieces of what is between them."""
        text = MarkedText(parts)
        start = len(text.text) - len(text.text.lstrip())
        end = max(start, len(text.text.rstrip()))
        before, words, after = text.cut([start, end, len(text.text)])
        yield raw_of(before)
        yield from lay_out(words)
        yield raw_of(after)

    def _fitting(self, parts: Sequence[Part]) -> Iterator[str | Sentence]:
        """One sentence; several parts of it if it is too long."""
        text, values = numbered(parts)
        if len(values) > self.rules.n_marks or not has_words(parts):
            yield from self._around(parts)
        elif self.rules.limit is None or self.rules.limit.allows(text):
            yield self._sentence(parts, text, values)
        else:
            marked = MarkedText(parts)
            for piece in marked.cut(self.rules.limit.cut(marked.text)):
                yield from self._trimmed(piece, self._whole)

    def _whole(self, parts: Sequence[Part]) -> Iterator[str | Sentence]:
        """One sentence, which is not cut any further."""
        if has_words(parts):
            yield self._sentence(parts, *numbered(parts))
        else:
            yield from self._around(parts)

    def _sentence(self, parts: Sequence[Part], text: str, values: Sequence[Part]) -> Sentence:
        return Sentence(text, raw_of(parts), self.encode, tuple(map(self._value, values)), line_break.of(parts))

    def _around(self, parts: Sequence[Part]) -> Iterator[str | Sentence]:
        """Translates the words between placeholders and tags piece by piece."""
        for part in parts:
            if isinstance(part, Kept):
                yield part.raw
            elif isinstance(part, Choice):
                yield from self._choice(part)
            elif not has_letter(part.text):
                yield part.raw
            else:
                yield from self._trimmed([part], self._fitting)

    def _choice(self, choice: Choice) -> Iterator[str | Sentence]:
        inner = self
        if self.in_format:
            inner = replace(self, encode=message.encoder(self.in_format, is_plural=is_plural(choice.raw)))
        for part in choice.parts:
            if isinstance(part, Branch):
                yield from inner.lay_out(part.parts)
            else:
                yield part.raw

    def _value(self, part: Part) -> Value:
        return Value(part, [piece for piece in self._choice(part) if piece] if isinstance(part, Choice) else None)
