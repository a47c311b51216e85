"""How long the database has taken to answer lately. If it is far away, the engine must not wait for it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

#: A question that takes longer than this is asked beside the engine.
_FAR_SECONDS = 0.004
#: The weight of a new answer in the average.
_WEIGHT = 1 / 8


class Distance:
    """Moving averages over the questions of a process: the cheap ones, and claims with all that they take."""

    def __init__(self) -> None:
        self._question: float | None = None
        self._claim: float | None = None

    @property
    def is_far(self) -> bool:
        return self._question is not None and self._question > _FAR_SECONDS

    @property
    def claim_seconds(self) -> float | None:
        """How long it takes to claim work and to prepare it; None before the first time."""
        return self._claim

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Counts a cheap question, unless it fails."""
        began = time.monotonic()
        yield
        self._question = averaged(self._question, time.monotonic() - began)

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """Counts a claim, with the preparation of its work, unless it fails."""
        began = time.monotonic()
        yield
        self._claim = averaged(self._claim, time.monotonic() - began)


def averaged(known: float | None, seconds: float) -> float:
    """The moving average after one more value."""
    return seconds if known is None else known + (seconds - known) * _WEIGHT
