"""Whether this worker is stopping, and for how long. Shared memory: Celery's signal reaches the parent, the child asks.

A bare number rather than an event: a child that is killed while it asks must not leave a lock behind.
"""

import struct
import time
from mmap import mmap
from typing import Any

from celery.signals import worker_shutting_down

_since = struct.Struct("d")
_shared = mmap(-1, _since.size)


def begin(**_: Any) -> None:
    """From now on nothing new is claimed, in this process and in those forked from it."""
    if not is_stopping():
        _since.pack_into(_shared, 0, time.monotonic())


worker_shutting_down.connect(begin)


def is_stopping() -> bool:
    return seconds() > 0


def seconds() -> float:
    """Since it was told to stop; 0 while it was not."""
    (since,) = _since.unpack_from(_shared)
    return max(time.monotonic() - since, 1e-9) if since else 0.0


def forget() -> None:
    """As if it had never been told."""
    _since.pack_into(_shared, 0, 0.0)
