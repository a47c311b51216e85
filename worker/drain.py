"""Whether this worker is stopping. The flag is shared memory: Celery's signal reaches the parent, the child asks.

A bare byte rather than an event: a child that is killed while it asks must not leave a lock behind.
"""

from mmap import mmap
from typing import Any

from celery.signals import worker_shutting_down

_flag = mmap(-1, 1)


def begin(**_: Any) -> None:
    """From now on nothing new is claimed, in this process and in those forked from it."""
    _flag[0] = 1


worker_shutting_down.connect(begin)


def is_stopping() -> bool:
    return _flag[0] == 1
