"""Kills the engine's process if the engine hangs, or if the worker does not stop in time.

The engine's process writes to shared memory when it last made progress. A thread of its parent kills it if that is too
long ago. Celery then starts another process, and when the leases expire, another worker takes over the shards. A
lease's heartbeat cannot tell that the engine hangs, because its thread goes on.
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import Structure, c_double, c_longlong
from multiprocessing.sharedctypes import RawValue
from threading import Thread

from lengthwise import settings
from worker.shutdown import Shutdown

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
#: The time for giving back claims after the end of the grace.
_GIVING_BACK_SECONDS = 1.0


class _Progress(Structure):
    """The process that computes, and the time of its last progress by the monotonic clock; 0 while it is idle."""

    _fields_ = (("process", c_longlong), ("made_at", c_double))


class Watchdog:
    """Created before Celery forks, so that the engine's process and its parent share the memory.

    It has no lock, for the reason given in ``Shutdown``.
    """

    def __init__(self, shutdown: Shutdown) -> None:
        self._shutdown = shutdown
        self._progress = RawValue(_Progress)

    @contextmanager
    def watched(self) -> Iterator[Callable[[], None]]:
        """Watches the engine while it works. Yields a function to call whenever it makes progress."""
        shared, clock = self._progress, time.monotonic

        def progress() -> None:
            shared.made_at = clock()

        shared.process = os.getpid()
        progress()
        try:
            yield progress
        finally:
            shared.made_at = 0.0

    def stalled(self, limit_seconds: float) -> int | None:
        """The id of the engine's process if it has made no progress for longer than this; else None."""
        made_at: float = self._progress.made_at
        process: int = self._progress.process
        return process if made_at and time.monotonic() - made_at > limit_seconds else None

    def start(self) -> None:
        """Starts the watching thread. Call this in the parent of the engine's process."""
        Thread(target=self._watch, name="watchdog", daemon=True).start()

    def _watch(self) -> None:
        current = settings.get()
        while True:
            time.sleep(_POLL_SECONDS)
            if (process := self.stalled(current.hang_seconds)) is not None:
                log.error("the engine made no progress for %g s: replacing its process", current.hang_seconds)
                self._kill(process)
            if self._shutdown.seconds > current.grace_seconds + _GIVING_BACK_SECONDS:
                log.warning("the worker did not stop within %g s of grace: killing it", current.grace_seconds)
                self._kill(self._progress.process)
                os._exit(0)

    def _kill(self, process: int) -> None:
        self._progress.process, self._progress.made_at = 0, 0.0
        if process:
            os.kill(process, signal.SIGKILL)
