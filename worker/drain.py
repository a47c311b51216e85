"""Whether this worker is stopping. The flag is shared memory: Celery's signal reaches the parent, the child asks."""

from multiprocessing import get_context
from typing import Any

from celery.signals import worker_shutting_down

_stopping = get_context("fork").Event()


def _begin(**_: Any) -> None:
    _stopping.set()


worker_shutting_down.connect(_begin)


def is_stopping() -> bool:
    return _stopping.is_set()
