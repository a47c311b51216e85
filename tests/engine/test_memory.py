"""What an engine keeps of its batches: nothing."""

import gc
import os
from pathlib import Path

from tests.engine import tiny
from tests.engine.conftest import Load

N_BATCHES = 10_000
#: What an allocator may round up to; a kilobyte that each batch left behind would be more.
MOST_GROWTH_BYTES = 8 * 2**20


def resident() -> int:
    """Bytes of this process that are in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_ten_thousand_batches_leave_nothing_behind(load: Load) -> None:
    # Writing takes longer than reading, and is seldom.
    kinds = [*["embed-bert", "bert"] * 9, "llama", "marian"]
    requests = tiny.requests(max_new_tokens=1, lengths=tuple(range(5, 36)))

    def run(count: int) -> None:
        for number in range(count):
            request = requests[number % len(requests)]
            assert len(list(load(kinds[number % len(kinds)], "int8").generate([request]))) == 1

    run(N_BATCHES // 10)
    before = resident()
    run(N_BATCHES)
    assert resident() - before < MOST_GROWTH_BYTES
