"""A text that knows which of its characters a caller wrote. Knows nothing of templates and tokens."""

from collections.abc import Iterable, Iterator
from typing import Any, Self, SupportsIndex, cast

#: What marks a character that a caller wrote, and one that the template did.
CALLERS, OURS = b"\1", b"\0"


#: Characters of a text that is put together, at most.
MOST_CHARACTERS = 4_000_000


class TooLong(Exception):
    """A text is longer than any prompt."""


class Marked(str):
    """A text with a mark for each character: ``CALLERS`` or ``OURS``.

    What takes a text apart or joins texts keeps the marks. Any other method of a text, such as ``format``, gives a
    plain text, of which only the caller of the method can know that it has to be marked.
    """

    __slots__ = ("_marks",)
    _marks: bytes

    def __new__(cls, text: str, marks: bytes | None = None) -> Self:
        """Without ``marks``, a caller wrote all of it."""
        made = str.__new__(cls, text)
        made._marks = CALLERS * len(text) if marks is None else marks
        return made

    def __str__(self) -> str:
        return self

    def __add__(self, other: str) -> "Marked":
        if not isinstance(other, str):
            return NotImplemented
        _check_length(len(self) + len(other))
        return Marked(str.__add__(self, other), self._marks + marks(other))

    def __radd__(self, other: str) -> "Marked":
        if not isinstance(other, str):
            return NotImplemented
        _check_length(len(self) + len(other))
        return Marked(str.__add__(other, self), marks(other) + self._marks)

    def __mul__(self, times: SupportsIndex) -> "Marked":
        return Marked(str.__mul__(self, times), self._marks * times)

    __rmul__ = __mul__

    def __getitem__(self, key: SupportsIndex | slice) -> "Marked":
        found = self._marks[key]
        return Marked(str.__getitem__(self, key), found if isinstance(found, bytes) else bytes((found,)))

    def __iter__(self) -> Iterator[str]:
        return (
            Marked(character, bytes((mark,))) for character, mark in zip(str.__iter__(self), self._marks, strict=True)
        )

    def _part(self, start: int, length: int) -> "Marked":
        return self[start : start + length]

    def lstrip(self, chars: str | None = None, /) -> "Marked":
        return self[len(self) - len(str.lstrip(self, chars)) :]

    def rstrip(self, chars: str | None = None, /) -> "Marked":
        return self._part(0, len(str.rstrip(self, chars)))

    def strip(self, chars: str | None = None, /) -> "Marked":
        return self.lstrip(chars).rstrip(chars)

    def removeprefix(self, prefix: str, /) -> "Marked":
        return self[len(self) - len(str.removeprefix(self, prefix)) :]

    def removesuffix(self, suffix: str, /) -> "Marked":
        return self._part(0, len(str.removesuffix(self, suffix)))

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._parts(str.split(self, sep, maxsplit), sep)

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return self._parts(str.rsplit(self, sep, maxsplit), sep)

    def splitlines(self, keepends: bool = False) -> list[str]:
        lines = self._parts(str.splitlines(self, True), "")
        if keepends:
            return lines
        return [cast(Marked, line)._part(0, len(str.splitlines(line)[0])) for line in lines]

    def partition(self, sep: str, /) -> tuple[str, str, str]:
        before, found, after = self._parts(list(str.partition(self, sep)), "")
        return before, found, after

    def rpartition(self, sep: str, /) -> tuple[str, str, str]:
        before, found, after = self._parts(list(str.rpartition(self, sep)), "")
        return before, found, after

    def _parts(self, parts: list[str], sep: str | None) -> list[str]:
        """These parts of the text, with ``sep`` between them; None stands for blanks."""
        found: list[str] = []
        at = 0
        for part in parts:
            if sep is None:  # no part begins with a blank, unless it is where the text begins
                at = self.find(part, at)
            found.append(self._part(at, len(part)))
            at += len(part) + len(sep or "")
        return found

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> "Marked":
        parts = self.split(old, count) if old else ["", *self, ""]
        if not old and 0 <= int(count) < len(parts):
            parts = [*parts[:count], self[max(0, int(count) - 1) :]]
        return join(new, parts)

    def join(self, iterable: Iterable[str], /) -> "Marked":
        return join(self, iterable)

    def plain(self) -> str:
        """The text alone."""
        return str.__str__(self)


def marks(text: str) -> bytes:
    """The text's marks: one byte for each character."""
    return text._marks if isinstance(text, Marked) else bytes(len(text))


def as_marked(text: str) -> Marked:
    """The text with its marks. If it has none, it is the template's."""
    return text if isinstance(text, Marked) else Marked(text, bytes(len(text)))


def join(sep: str, texts: Iterable[str]) -> Marked:
    """The texts, with ``sep`` between them.

    Raises ``TypeError`` for what is no text, as ``str.join`` does, and ``TooLong`` before it writes such a text.
    """
    found = list(texts)
    _check_length(sum(map(len, found)) + len(sep) * len(found))
    return Marked("".join(str.join(sep, found)), marks(sep).join(map(marks, found)))


def _check_length(length: int) -> None:
    if length > MOST_CHARACTERS:
        raise TooLong


def marked(value: Any) -> Any:
    """A caller's value, in which each text is marked, at whatever depth."""
    if isinstance(value, str):
        return Marked(value)
    if isinstance(value, dict):
        return {marked(key): marked(inner) for key, inner in value.items()}
    return [marked(inner) for inner in value] if isinstance(value, list) else value


def may_hold_marks(value: Any) -> bool:
    """Whether a caller's text may be in the value, or come out of it."""
    if isinstance(value, str):
        return CALLERS in marks(value)
    if isinstance(value, dict):
        return any(may_hold_marks(key) or may_hold_marks(inner) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return any(map(may_hold_marks, value))
    return not isinstance(value, int | float | None)  # an iterator, say, whose texts come later
