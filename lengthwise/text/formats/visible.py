"""The words of a text as a model reads them: with characters instead of references, and without what nobody sees."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import regex

from lengthwise.text.part import Run

#: What nobody sees and no word needs: soft hyphens, zero-width spaces, byte order marks, marks of direction. Joiners,
#: variation selectors, tag characters and fillers stay, since scripts and emoji are made of them.
_UNSEEN = regex.compile(
    r"(?V1)[\p{Default_Ignorable_Code_Point}--[\u200c\u200d\p{Variation_Selector}\U000e0020-\U000e007f\u115f\u1160]]+"
)


class Piece(NamedTuple):
    """A stretch of the source, and the characters that a reader sees there. A reference is one piece."""

    raw: str
    text: str


def visible(raw: str) -> Run:
    """``raw`` as a run, whose ``text`` has no invisible characters."""
    if raw.isascii() or not _UNSEEN.search(raw):
        return Run.plain(raw)
    return _joined([Piece(raw, raw)])


def joined(pieces: Sequence[Piece]) -> Run:
    """The pieces as one run, whose ``text`` has no invisible characters."""
    if len(pieces) == 1 and pieces[0].raw == pieces[0].text:
        return visible(pieces[0].raw)
    return _joined(pieces)


def _joined(pieces: Iterable[Piece]) -> Run:
    raws: list[str] = []
    texts: list[str] = []
    starts: list[int] = []
    at = 0
    for raw, text in pieces:
        raws.append(raw)
        if raw != text:
            texts.append(text if text.isascii() else _UNSEEN.sub("", text))
            starts += [at] * len(texts[-1])
        else:
            for start, end in _seen(raw):
                texts.append(raw[start:end])
                starts += range(at + start, at + end)
        at += len(raw)
    raw, text = "".join(raws), "".join(texts)
    return Run.plain(raw) if raw == text else Run(raw, text, [*starts, at])


def _seen(raw: str) -> Iterable[tuple[int, int]]:
    """Where the stretches of ``raw`` without invisible characters begin and end."""
    at = 0
    if not raw.isascii():
        for found in _UNSEEN.finditer(raw):
            yield at, found.start()
            at = found.end()
    yield at, len(raw)
