"""Defines a measured system: it loads a model and runs items, in its own process with one thread.

``python -m benchmarks.engine.system PLACE WORKLOAD FOLDER`` loads the system and prints that it is ready. Then it reads
lines of two numbers: how many items to run, and of which round. It runs them once and prints one JSON object: the
seconds by the wall clock and by the process's CPU clock, the tokens written for each item, the batches if the system
plans them, and the peak memory so far.
"""

import json
import re
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from benchmarks.engine.workload import WORKLOADS, Workload, WorkloadItem


class System(Protocol):
    def __init__(self, model: Path, workload: Workload) -> None:
        """Loads the model. If needed, first converts it to the system's own format, in a folder next to it."""
        ...

    def run(self, items: Sequence[WorkloadItem]) -> list[int]:
        """Runs the items. Returns the number of tokens written for each."""
        ...


@runtime_checkable
class BatchingSystem(Protocol):
    def batches(self, items: Sequence[WorkloadItem]) -> list[list[int]]:
        """Returns the batches in which ``run`` processes these items, as lists of indexes."""
        ...


def peak_bytes() -> int:
    """Returns this process's peak memory: of the GPU if it uses one, else of the machine.

    It also returns unused GPU memory to the device, because other systems wait on the same one.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        # Not getrusage: if the parent process had a higher peak, it would return the parent's.
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        return int(found[1]) * 1024 if found else 0
    torch.cuda.empty_cache()
    return int(torch.cuda.max_memory_allocated())


def main() -> None:
    place, workload_name, folder = sys.argv[1:]
    module, _, class_name = place.partition(":")
    workload = WORKLOADS[workload_name]
    system: System = getattr(import_module(module), class_name)(Path(folder), workload)
    system.run(workload.items(4, 0))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        count, number = map(int, line.split())
        items = workload.items(count, number)
        began, cpu = time.perf_counter(), time.process_time()
        written = system.run(items)
        seconds = {"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}
        batches = system.batches(items) if isinstance(system, BatchingSystem) else None
        answer = {"seconds": seconds, "written": written, "batches": batches, "peak_bytes": peak_bytes()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
