"""Line breaks within a sentence, which its format reads as blanks: a translation gets as many as its source had."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lengthwise.text.part import Part, Run

#: Stands in a translation for its first line break. The others have the next ones.
FIRST_BREAK = 0xF0000
_NEWLINES = ("\n", "\r")
_PLACE = re.compile(r" |(?<=[，、；：。！？])(?=\w)")


class LineBreak(NamedTuple):
    """A line break, with the indentation or quote marks of the next line."""

    #: The place in the sentence of the blank that stands for it.
    at: int
    raw: str


def of(parts: Sequence[Part]) -> tuple[LineBreak, ...]:
    """The line breaks in a sentence of these parts."""
    return tuple(_found(parts))


def _found(parts: Sequence[Part]) -> Iterator[LineBreak]:
    at = 0
    for part in parts:
        if not isinstance(part, Run):
            at += 1
            continue
        if part.starts is not None and any(newline in part.raw for newline in _NEWLINES):
            for place, char in enumerate(part.text):
                raw = part.raw[part.starts[place] : part.starts[place + 1]]
                if char == " " and any(newline in raw for newline in _NEWLINES):
                    yield LineBreak(at + place, raw)
        at += len(part.text)


def put(answer: str, length: int, breaks: Sequence[LineBreak]) -> str:
    """``answer`` with U+F0000, U+F0001, … for the breaks in a sentence of this ``length``.

    They stand in the places of blanks, or behind a comma or stop of Chinese or Japanese, about as far into the answer
    as into the sentence. No line begins with what could begin a list or a heading. A break for which there is no place
    is left out.
    """
    places = list(_places(answer))
    starts = [place.start() for place in places]
    written, start = [], 0
    for number, each in enumerate(breaks):
        wanted = each.at * len(answer) // max(1, length)
        if place := _nearest(places, starts, wanted, start):
            written += [answer[start : place.start()], chr(FIRST_BREAK + number)]
            start = place.end()
    return "".join([*written, answer[start:]])


def _places(answer: str) -> Iterator[re.Match[str]]:
    """Where a line may end: at a blank, which the break replaces, or behind a stop that needs no blank."""
    return (found for found in _PLACE.finditer(answer) if answer[found.end() : found.end() + 1].isalpha())


def _nearest(places: Sequence[re.Match[str]], starts: Sequence[int], wanted: int, start: int) -> re.Match[str] | None:
    """The place from ``start`` on that begins nearest to ``wanted``."""
    after = bisect_left(starts, max(wanted, start + 1))
    near = (place for place in places[max(0, after - 1) : after + 1] if place.start() > start)
    return min(near, key=lambda place: abs(place.start() - wanted), default=None)
