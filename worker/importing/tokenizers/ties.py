"""Tells whether two segmentations of a text are equally good for SentencePiece.

It adds scores in single precision from the beginning of a text. Of two ways to divide ``aaa`` into ``aa`` and ``a``,
which have the same score, it so takes one by the rounding of what came before. No other library rounds alike.
"""

from collections.abc import Mapping, Sequence

#: Half of the distance between neighbouring numbers of single precision, for the number 1.
_ROUNDING = 2**-24
#: Stands for a run of unknown characters, which may be spelled differently.
_UNKNOWN = "\0"


def is_tie(one: Sequence[str], other: Sequence[str], scores: Mapping[str, float]) -> bool:
    """Whether the pieces spell the same text, and wherever they differ, the sums of their scores do not.

    A piece without a score is a run of unknown characters.
    """
    sides = [[piece if piece in scores else _UNKNOWN for piece in side] for side in (one, other)]
    if "".join(sides[0]) != "".join(sides[1]):
        return False
    ends = [_ends(side, scores) for side in sides]
    before, common = 0, sorted(ends[0].keys() & ends[1].keys())
    for place in common:
        sums = [end[place][0] - end[before][0] for end in ends]
        n_pieces = sum(end[place][1] - end[before][1] for end in ends)
        if abs(sums[0] - sums[1]) > n_pieces * _ROUNDING * abs(ends[0][place][0]):
            return False
        before = place
    return True


def _ends(pieces: Sequence[str], scores: Mapping[str, float]) -> dict[int, tuple[float, int]]:
    """The sum of the scores, and how many pieces there are, up to each place where a piece ends."""
    place, total = 0, 0.0
    ends = {0: (0.0, 0)}
    for number, piece in enumerate(pieces, 1):
        place += len(piece)
        total += scores.get(piece, 0.0)
        ends[place] = total, number
    return ends
