"""The garbage collector skips long-lived objects until they are dropped."""

import gc
from collections.abc import Iterator
from weakref import ref

import pytest

from worker.generation.process_tuning import reduce_garbage_collection


class Cycle:
    """A reference cycle, which only the garbage collector frees."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_objects_dropped_after_a_freeze_are_freed_at_the_next_one() -> None:
    cycle = Cycle()
    spared = ref(cycle)
    reduce_garbage_collection()
    del cycle
    gc.collect()
    assert spared() is not None
    reduce_garbage_collection()
    assert spared() is None
