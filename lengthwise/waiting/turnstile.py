"""Lets a limited number of threads pass at a time, and turns others away once it is clear that they would wait long."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from threading import Semaphore

from lengthwise.errors import DatabaseUnavailable

#: After a thread has waited in vain, others do not wait at all for this long.
_FULL_SECONDS = 1.0


class Turnstile:
    """``places`` threads may be inside. Each other one waits for at most ``seconds``.

    If all that are inside take long, threads that wait would soon be all threads of the process. So after one of them
    has waited in vain, later ones are turned away at once, until the turnstile has had a second to recover.
    """

    def __init__(self, places: int, seconds: float) -> None:
        self._free = Semaphore(places)
        self._seconds = seconds
        self._full_until = -inf

    @contextmanager
    def passed(self) -> Iterator[None]:
        """The thread is inside for the duration of the block. Raises ``DatabaseUnavailable``."""
        if not self._free.acquire(blocking=False):
            self._wait()
        try:
            yield
        finally:
            self._free.release()

    def _wait(self) -> None:
        is_full = time.monotonic() < self._full_until
        if is_full or not self._free.acquire(timeout=self._seconds):
            if not is_full:
                self._full_until = time.monotonic() + _FULL_SECONDS
            raise DatabaseUnavailable("every database connection is busy", retry_after=2)
