"""A text that knows, if asked to, from which characters of another text each of its characters was made.

Pure. Knows nothing of what is done to texts.
"""

from array import array
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol


class _Pattern(Protocol):
    """A compiled pattern, of ``re`` or of ``regex``."""

    def sub(self, repl: Any, string: str, /) -> str: ...

    def finditer(self, string: str, /) -> Any: ...


class TracedText(NamedTuple):
    """A text, and for each of its characters where its origin begins and ends. Without them nothing is traced."""

    text: str
    starts: "array[int] | None" = None
    ends: "array[int] | None" = None

    @classmethod
    def of(cls, text: str) -> "TracedText":
        """A text whose characters are their own origin."""
        return cls(text, array("L", range(len(text))), array("L", range(1, len(text) + 1)))

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The place of ``text[start:end]`` in the text that was traced. At least one character is taken."""
        if self.starts is None or self.ends is None:
            raise ValueError("this text is not traced")
        start = min(start, len(self.text) - 1)
        end = max(end, start + 1)
        return min(self.starts[start:end]), max(self.ends[start:end])

    def slice(self, start: int, end: int) -> "TracedText":
        if self.starts is None or self.ends is None:
            return TracedText(self.text[start:end])
        return TracedText(self.text[start:end], self.starts[start:end], self.ends[start:end])

    def made(self, text: str, start: int, end: int) -> "TracedText":
        """``text``, each of whose characters was made of all of ``self.text[start:end]``."""
        if self.starts is None:
            return TracedText(text)
        first, last = self.span(start, end)
        return TracedText(text, array("L", [first]) * len(text), array("L", [last]) * len(text))

    def respelled(self, text: str) -> "TracedText":
        """A text with other characters in the same places."""
        return self._replace(text=text)

    def sub(self, pattern: _Pattern, replace: Callable[[Any], str]) -> "TracedText":
        """The text with each match of ``pattern`` replaced."""
        if self.starts is None:
            return TracedText(pattern.sub(replace, self.text))
        parts: list[TracedText] = []
        at = 0
        for found in pattern.finditer(self.text):
            new = replace(found)
            if new != found[0]:
                parts += self.slice(at, found.start()), self.made(new, *found.span())
                at = found.end()
        return joined("", [*parts, self.slice(at, len(self.text))], self)

    def kept(self, pattern: _Pattern, group: int) -> "TracedText":
        """The text with only ``group`` of each match of ``pattern``."""
        parts: list[TracedText] = []
        at = 0
        for found in pattern.finditer(self.text):
            parts += self.slice(at, found.start()), self.slice(*found.span(group))
            at = found.end()
        return joined("", [*parts, self.slice(at, len(self.text))], self)

    def stripped(self, blanks: str) -> "TracedText":
        start = len(self.text) - len(self.text.lstrip(blanks))
        return self.slice(start, max(start, len(self.text.rstrip(blanks))))


def joined(between: str, parts: Iterable[TracedText], whole: TracedText) -> TracedText:
    """The parts in one text, traced if ``whole`` is. What is put between two parts stems from the end of the first."""
    parts = list(parts)
    text = between.join(part.text for part in parts)
    if whole.starts is None:
        return TracedText(text)
    starts, ends = array("L"), array("L")
    for index, part in enumerate(parts):
        if index and between:
            starts.extend([ends[-1] if ends else 0] * len(between))
            ends.extend(starts[-len(between) :])
        starts += part.starts or array("L")
        ends += part.ends or array("L")
    return TracedText(text, starts, ends)
