"""Parts as one text, in which a mark stands for each part that is no words."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise

from lengthwise.text.part import Kept, Part, Run
from lengthwise.text.protection import finder

#: Marks are U+E000, U+E001, … in order of first appearance. The reader of placeholders keeps a text's own private use
#: characters from models, so that none is confused with a mark.
FIRST_MARK = 0xE000
PRIVATE = re.compile(f"[{finder.PRIVATE}]")


class MarkedText:
    """``text`` holds the words of all runs, U+E000 for each placeholder, and U+E001 for each part of the markup."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = [_with_text(part) for part in parts if part.raw]
        written = [part.text if isinstance(part, Run) else chr(FIRST_MARK + is_markup(part)) for part in self.parts]
        self.text = "".join(written)
        self._starts = list(accumulate(map(len, written), initial=0))

    def cut(self, ends: Sequence[int]) -> list[list[Part]]:
        """The parts, cut after these places of the text. The last place is the text's end."""
        return [self._slice(start, end) for start, end in pairwise([0, *ends])]

    def _slice(self, start: int, end: int) -> list[Part]:
        found: list[Part] = []
        for index in range(bisect_right(self._starts, start) - 1, len(self.parts)):
            part, at = self.parts[index], self._starts[index]
            if at >= end:
                break
            if isinstance(part, Run):
                part = part.slice(max(0, start - at), min(end, self._starts[index + 1]) - at)
            found.append(part)
        return found


def _with_text(part: Part) -> Part:
    """A run of invisible characters alone is kept: no place in the text stands for it."""
    return Kept(part.raw) if isinstance(part, Run) and not part.text else part


def numbered(parts: Sequence[Part]) -> tuple[str, list[Part]]:
    """The text with a mark of its own for each different part that is no words, and these parts by their marks."""
    marks: dict[str, str] = {}
    values: list[Part] = []
    written = []
    for part in parts:
        if isinstance(part, Run):
            written.append(part.text)
            continue
        if part.raw not in marks:
            marks[part.raw] = chr(FIRST_MARK + len(marks))
            values.append(part)
        written.append(marks[part.raw])
    return "".join(written), values


def raw_of(parts: Sequence[Part]) -> str:
    return "".join(part.raw for part in parts)


def is_markup(part: Part) -> bool:
    """Whether its order among other markup matters, as that of tags does. Placeholders may change their order."""
    return isinstance(part, Kept) and (part.is_markup or part.raw.startswith("<"))
