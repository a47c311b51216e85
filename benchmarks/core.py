"""One core for everything that is measured."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_core() -> Iterator[int]:
    """Meanwhile this process, and all that it starts, have one core."""
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(every)})
    yield max(every)
    os.sched_setaffinity(0, every)
