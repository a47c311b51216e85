"""Replaces an engine that hangs, and ends a worker that cannot stop in time: from outside the engine's process.

The engine's process notes in shared memory when it last got on; a thread of its parent looks, and kills it when that is
too long ago. Celery starts another one; the leases hand on what the dead one held. The heartbeat is no such sign: its
thread lives while the engine hangs.
"""

import logging
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from mmap import mmap
from threading import Thread
from typing import Any

from celery.signals import worker_ready

from lengthwise import settings
from worker import shutdown

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
#: What a worker that gives back at the end of its grace may need for that.
_GIVING_BACK_SECONDS = 1.0

#: The process that computes, and the clock's reading (the same in all processes) when it last got on; 0 while it rests.
_beat = struct.Struct("qd")
_shared = mmap(-1, _beat.size)


@contextmanager
def watched() -> Iterator[Callable[[], None]]:
    """Around one engine batch; calling what it gives says that the batch gets on."""

    process, clock, note = os.getpid(), time.monotonic, _beat.pack_into

    def progress() -> None:
        note(_shared, 0, process, clock())

    progress()
    try:
        yield progress
    finally:
        note(_shared, 0, process, 0.0)


def stalled(limit_seconds: float) -> int | None:
    """The process that has been computing for longer than this without getting on."""
    process, since = _beat.unpack_from(_shared)
    return process if since and time.monotonic() - since > limit_seconds else None


def start(**_: Any) -> None:
    """Watches from a thread of this process, the parent of the engine's."""
    Thread(target=_watch, name="watchdog", daemon=True).start()


def _watch() -> None:
    current = settings.get()
    while True:
        time.sleep(_POLL_SECONDS)
        if (process := stalled(current.hang_seconds)) is not None:
            log.error("the engine got nowhere for %g s: replacing its process", current.hang_seconds)
            _kill(process)
        if shutdown.seconds() > current.grace_seconds + _GIVING_BACK_SECONDS:
            log.warning("not done within %g s of grace: ending at once", current.grace_seconds)
            _kill(_beat.unpack_from(_shared)[0])
            os._exit(0)


def _kill(process: int) -> None:
    _beat.pack_into(_shared, 0, 0, 0.0)
    if process:
        os.kill(process, signal.SIGKILL)


worker_ready.connect(start)
