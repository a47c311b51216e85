"""Makes a document of parts: passages without blanks at their ends, and what is kept between them."""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, groupby

from lengthwise.text.part import Document, Kept, Part, Passage, Run, has_words

#: Icons of some font. Marks of placeholders are such characters too, and no text may bring its own.
_PRIVATE = re.compile("[\ue000-\uf8ff\U000f0000-\U0010ffff]+")
#: What begins an item of a list. It may not be all of a line.
BULLET = re.compile(r"(?:[-*+•‣⁃◦▪●○■□–—]\s++)+")


class Builder:
    """Collects passages and kept stretches, in the order of the text."""

    def __init__(self) -> None:
        self._document: Document = []
        self._kept: list[str] = []

    def keep(self, raw: str) -> None:
        """Keeps ``raw`` between passages."""
        if raw:
            self._kept.append(raw)

    def extend(self, document: Document) -> None:
        """Adds what another reader made of a stretch of the text."""
        for part in document:
            if isinstance(part, Kept):
                self.keep(part.raw)
            else:
                self._add(part)

    def passage(self, parts: Sequence[Part], encode: Callable[[str], str] = str, *, has_code: bool = False) -> None:
        """Adds the parts as a passage. Blanks at its ends are kept outside it, and so is all that has no letter.

        Without code among the parts, the tags around a single run are kept outside too, as those of ``<b>Sale</b>``.
        """
        if not has_words(parts):
            self.keep("".join(part.raw for part in parts))
            return
        parts = list(chain.from_iterable(map(_without_private, parts)))
        first, last = _ends(parts, has_code)
        before, inner, after = _trimmed(parts[first : last + 1])
        self.keep("".join(part.raw for part in parts[:first]) + before)
        self._add(Passage(tuple(_merged(inner)), encode))
        self.keep(after + "".join(part.raw for part in parts[last + 1 :]))

    def end(self) -> Document:
        self._flush()
        return self._document

    def _add(self, passage: Passage) -> None:
        self._flush()
        self._document.append(passage)

    def _flush(self) -> None:
        if self._kept:
            self._document.append(Kept("".join(self._kept)))
            self._kept = []


def _without_private(part: Part) -> Iterator[Part]:
    """The part, with the private use characters of its words kept."""
    if not isinstance(part, Run) or part.text.isascii():
        yield part
        return
    at = 0
    for icons in _PRIVATE.finditer(part.text):
        if icons.start() > at:
            yield part.slice(at, icons.start())
        yield Kept(part.slice(*icons.span()).raw)
        at = icons.end()
    if at < len(part.text) or not at:
        yield part.slice(at, len(part.text)) if at else part


def _ends(parts: Sequence[Part], has_code: bool) -> tuple[int, int]:
    """The indices of the passage's first and last part."""
    full = [index for index, part in enumerate(parts) if not isinstance(part, Run) or _is_worded(part)]
    worded = [index for index in full if isinstance(parts[index], Run)]
    return (worded[0], worded[0]) if len(worded) == 1 and not has_code else (full[0], full[-1])


def _merged(parts: Sequence[Part]) -> Iterator[Part]:
    """The parts, with neighbours that are kept as one."""
    for is_kept, group in groupby(parts, lambda part: isinstance(part, Kept)):
        if is_kept:
            yield Kept("".join(part.raw for part in group))
        else:
            yield from group


def _is_worded(run: Run) -> bool:
    return bool(run.text) and not run.text.isspace()


def _trimmed(parts: Sequence[Part]) -> tuple[str, list[Part], str]:
    """The blanks at the start, the parts without blanks at their ends, and the blanks at the end."""
    inner, before, after = list(parts), "", ""
    if isinstance(first := inner[0], Run):
        cut = len(first.text) - len(first.text.lstrip())
        start = first.starts[cut] if first.starts else cut  # also after a byte order mark, which the words are without
        before, inner[0] = first.raw[:start], _from(first, cut, start)
    if isinstance(last := inner[-1], Run) and last.text[-1:].isspace():
        cut = len(last.text.rstrip())
        inner[-1], after = last.slice(0, cut), last.slice(cut, len(last.text)).raw
    return before, inner, after


def _from(run: Run, cut: int, start: int) -> Run:
    """The run from ``text[cut]`` on, which is ``raw[start]``."""
    starts = run.starts and [place - start for place in run.starts[cut:]]
    return Run(run.raw[start:], run.text[cut:], starts)
