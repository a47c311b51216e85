"""A figure that may take long to find: whoever asks for it often does not wait for it."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Generic, TypeVar

Figure = TypeVar("Figure")

#: How long who asks waits for the present figure if there is an earlier one: a quarter of what a scrape may take.
_PATIENCE_SECONDS = 0.005
#: An earlier figure counts for this long. Prometheus asks every minute or more often.
_RECENT_SECONDS = 90.0


class SlowFigure(Generic[Figure]):
    """``find`` finds the figure. Only one thread at a time may ``get`` it."""

    def __init__(self, find: Callable[[], Figure]) -> None:
        self._find = find
        self._threads = ThreadPoolExecutor(1, "figure")
        self._finding: Future[tuple[Figure, float]] | None = None
        self._found: tuple[Figure, float] | None = None

    def get(self) -> Figure:
        """The present figure if it is found at once. Otherwise that which was found since the last question.

        If there is none, or if it is no longer recent, waits for the present one, and raises what ``find`` raises.
        """
        if self._finding is not None and self._finding.done():
            with suppress(Exception):  # it is asked for again now
                self._take(self._finding)
        if self._finding is None:
            self._finding = self._threads.submit(self._search)
        earlier = self._found if self._found and time.monotonic() - self._found[1] < _RECENT_SECONDS else None
        wait([self._finding], None if earlier is None else _PATIENCE_SECONDS)
        if earlier is not None and not self._finding.done():
            return earlier[0]
        return self._take(self._finding)

    def _search(self) -> tuple[Figure, float]:
        return self._find(), time.monotonic()

    def _take(self, finding: Future[tuple[Figure, float]]) -> Figure:
        self._finding = self._found = None  # if it fails, nothing earlier is shown
        self._found = finding.result()
        return self._found[0]
