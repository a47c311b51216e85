"""The garbage collector skips long-lived objects until they are dropped."""

import ctypes
import gc
import math
import os
from collections.abc import Iterator
from pathlib import Path
from weakref import ref

import pytest

from worker.generation.process_tuning import FreedMemory, reduce_garbage_collection


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


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_freed_memory_goes_back_to_the_system_but_not_at_every_batch() -> None:
    memory = FreedMemory()

    def left_after_gaps() -> int:
        """Allocates 64 MB in small pieces, frees all but a few, and returns by how much the process has grown."""
        before = resident_bytes()
        pieces = [ctypes.create_string_buffer(b"x", 20_000) for _ in range(3_200)]
        kept = pieces[::100]
        pieces.clear()
        memory.release()
        return resident_bytes() - before + 0 * len(kept)

    memory._released_at = -math.inf
    assert left_after_gaps() < 2**24
    assert left_after_gaps() > 2**25, "it was released just now"


def test_a_young_process_gives_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    memory, given = FreedMemory(), list[int]()
    monkeypatch.setattr(memory, "_trim", given.append)
    memory.release()
    assert given == []
    memory._released_at = -math.inf
    for _ in range(2):
        memory.release()
    assert given == [0]
