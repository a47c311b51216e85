"""How far scores and vectors may be from transformers' own, and whether they are within that. Imports no torch."""

from collections.abc import Callable, Sequence

import numpy as np

Numbers = Sequence[Sequence[float]]

SCORES, VECTORS = 1e-4, 1e-6
#: Beyond ``VECTORS``, ours are at most so many times as far from float64's as transformers' are. Both round.
TIMES_AS_FAR = 1.5


def of_scores(ours: Numbers, theirs: Numbers) -> list[str]:
    """What is not so of scores, for people; empty if they are near enough."""
    return _said("scores", ours, theirs, SCORES)


def of_vectors(ours: Numbers, theirs: Numbers, exact: Callable[[], Numbers]) -> list[str]:
    """What is not so of vectors, for people; empty if they are near enough.

    ``exact`` computes them in float64. It is called if ours and transformers' are further apart than ``VECTORS``.
    """
    found = _said("vectors", ours, theirs, VECTORS)
    if not found or not _have_one_size(ours, theirs):
        return found
    truth = exact()
    error, their_error = _greatest(ours, truth), _greatest(theirs, truth)
    if error <= TIMES_AS_FAR * their_error:
        return []
    return [f"{found[0]}, and from float64's by {error:.2g}, transformers' by {their_error:.2g}"]


def _said(what: str, ours: Numbers, theirs: Numbers, most: float) -> list[str]:
    if not _have_one_size(ours, theirs):
        return [f"{what} have another size"]
    found = _greatest(ours, theirs)
    return [] if found <= most else [f"{what} differ by {found:.2g}"]  # "nan" differs


def _have_one_size(ours: Numbers, theirs: Numbers) -> bool:
    return [len(each) for each in ours] == [len(each) for each in theirs]


def _greatest(ours: Numbers, theirs: Numbers) -> float:
    """The greatest difference of two components; nan if there is one."""
    return float(np.max([np.abs(np.subtract(a, b)).max() for a, b in zip(ours, theirs, strict=True)]))
