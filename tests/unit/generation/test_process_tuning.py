"""The collector is told to spare what lives long, until that is dropped."""

import gc
from collections.abc import Iterator
from weakref import ref

import pytest

from worker.generation.process_tuning import reduce_garbage_collection


class Cycle:
    """Something that only the collector frees."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_what_was_spared_and_then_dropped_is_freed_the_next_time() -> None:
    cycle = Cycle()
    spared = ref(cycle)
    reduce_garbage_collection()
    del cycle
    gc.collect()
    assert spared() is not None
    reduce_garbage_collection()
    assert spared() is None
