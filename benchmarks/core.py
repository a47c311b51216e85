"""Pins everything that a benchmark measures to one core."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_core() -> Iterator[int]:
    """Limits this process, and every process that it starts, to one core. Yields the core's number."""
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(every)})
    yield max(every)
    os.sched_setaffinity(0, every)
