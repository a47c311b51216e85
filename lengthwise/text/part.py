"""The parts of a text on its way through a translation: words to translate, what is kept, and messages with branches.

The readers of formats and of placeholders give these parts, and ``lengthwise.kinds.translate`` puts them together
again. Joined, the ``raw`` of all parts is the text that was read, to the last character.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Kept(NamedTuple):
    """What stays in the translation as it is: a tag, a placeholder, a code span, a blank line."""

    raw: str
    #: Whether it is part of the source's format, such as a tag, whose order among others matters.
    is_markup: bool = False


class Run(NamedTuple):
    """Words to translate. ``text`` is what a model reads, ``raw`` is how it stood in the source.

    They differ where characters were escaped (``&eacute;``), or are left out for the model (a soft hyphen).
    """

    raw: str
    text: str
    #: Where each character of ``text`` begins in ``raw``, and where the last one ends; None if both are equal.
    starts: Sequence[int] | None = None

    @classmethod
    def plain(cls, text: str) -> "Run":
        return cls(text, text)

    def slice(self, start: int, end: int) -> "Run":
        """The run of ``text[start:end]``. Adjacent slices cover all of ``raw``, however it is cut."""
        if self.starts is None:
            return Run.plain(self.text[start:end])
        at = 0 if start == 0 else self.starts[start]
        to = len(self.raw) if end == len(self.text) else self.starts[end]
        starts = [max(0, place - at) for place in self.starts[start : end + 1]]
        return Run(self.raw[at:to], self.text[start:end], starts)


class Choice(NamedTuple):
    """A message with branches, such as an ICU plural. Its structure is kept, each branch is translated by itself."""

    parts: "tuple[Kept | Branch, ...]"

    @property
    def raw(self) -> str:
        return "".join(part.raw for part in self.parts)


class Branch(NamedTuple):
    """The content of one branch of a ``Choice``."""

    parts: "tuple[Part, ...]"

    @property
    def raw(self) -> str:
        return "".join(part.raw for part in self.parts)


Part = Kept | Run | Choice


_LETTER = re.compile(r"[^\W\d_]")


def has_letter(text: str) -> bool:
    return text[:1].isalpha() or _LETTER.search(text) is not None


def n_letters(text: str) -> int:
    return len(_LETTER.findall(text))


def has_words(parts: Sequence[Part]) -> bool:
    return any(isinstance(part, Run) and has_letter(part.text) for part in parts)


def _same(text: str) -> str:
    return text


class Passage(NamedTuple):
    """What is translated together: a paragraph, a cell, a line. Its ``Kept`` parts are tags and the like within it."""

    parts: tuple[Part, ...]
    #: Writes translated words in the source's format, such as ``<`` as ``&lt;`` in HTML.
    encode: Callable[[str], str] = _same

    @property
    def raw(self) -> str:
        return "".join(part.raw for part in self.parts)


#: A text as its format's reader gives it.
Document = list[Kept | Passage]
