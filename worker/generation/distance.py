"""How long the database has taken to answer lately. If it is far away, the engine must not wait for it."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

#: If even the quickest answer takes longer than this, questions are asked beside the engine.
_FAR_SECONDS = 0.004
#: Answers of which the quickest counts. A busy machine delays some of them; a distance delays all.
_N_ANSWERS = 8
#: The weight of a new answer in the average.
_WEIGHT = 1 / 8


class Distance:
    """How long the questions of a process take: the cheap ones, and claims with all that they need."""

    def __init__(self) -> None:
        self._answers: deque[float] = deque(maxlen=_N_ANSWERS)
        self._claim: float | None = None

    @property
    def is_far(self) -> bool:
        return bool(self._answers) and min(self._answers) > _FAR_SECONDS

    @property
    def claim_seconds(self) -> float | None:
        """How long it takes to claim work and to prepare it; None before the first time."""
        return self._claim

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Counts a cheap question, unless it fails."""
        began = time.monotonic()
        yield
        self._answers.append(time.monotonic() - began)

    @contextmanager
    def claiming(self) -> Iterator[None]:
        """Counts a claim, with the preparation of its work, unless it fails."""
        began = time.monotonic()
        yield
        self._claim = averaged(self._claim, time.monotonic() - began)


def averaged(known: float | None, seconds: float) -> float:
    """The moving average after one more value."""
    return seconds if known is None else known + (seconds - known) * _WEIGHT
