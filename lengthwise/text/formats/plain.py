"""Reads plain text line by line. Line ends, indentation, list markers and the blanks between columns are kept."""

import re
from bisect import bisect
from itertools import accumulate, pairwise

from lengthwise.text.formats.document import BULLET, Builder
from lengthwise.text.formats.message import messages
from lengthwise.text.formats.visible import visible
from lengthwise.text.part import Document, Passage

#: Blanks between columns.
_GAP = re.compile(r"\s{3,}|\s?\t\s?")
_NUMBER = r"\(?\d{1,9}[.)]\s++(?=\S)"
_NUMBERED = re.compile(_NUMBER)
_ITEM = re.compile(rf"(?:{BULLET.pattern})?+(?:{_NUMBER})?+")


def read(text: str) -> Document:
    """The lines of ``text`` and what is kept between them.

    A line is translated by itself even where a paragraph was broken into lines, so that the lines can be counted. A
    number at the start of a line is a list's if another line begins with one too: "3. Oktober" is a date.
    """
    if text.isprintable() and text[:1].isalpha() and text[-1] != " " and "   " not in text:
        return [Passage((visible(text),))]
    document = Builder()
    lines = _lines(text)
    is_numbered = sum(_NUMBERED.match(line.lstrip()) is not None for line in lines) > 1
    for line in lines:
        start = len(line) - len(line.lstrip())
        if marker := (_ITEM if is_numbered else BULLET).match(line, start):
            start = marker.end()
        document.keep(line[:start])
        for gap in () if messages(line) else _GAP.finditer(line, start):
            document.passage((visible(line[start : gap.start()]),))
            document.keep(gap[0])
            start = gap.end()
        document.passage((visible(line[start:]),))
    return document.end()


def _lines(text: str) -> list[str]:
    """The lines with their ends. A message that is written in several lines counts as one."""
    lines = text.splitlines(keepends=True)
    inner = messages(text)
    if not inner:
        return lines
    starts = [0, *accumulate(map(len, lines))]
    ends = [end for _, end in inner]
    outer = [start for start in starts if (at := bisect(ends, start)) == len(ends) or start <= inner[at][0]]
    return [text[start:end] for start, end in pairwise(outer)]
