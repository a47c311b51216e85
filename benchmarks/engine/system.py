"""What is measured: something that loads a model and runs items, alone in a process with one thread.

``python -m benchmarks.engine.system PLACE WORKLOAD FOLDER`` loads, says so, and for each line it reads (the number of
items and of the round) runs these once, answering with the seconds that took, those of them in which this process had
the core, the tokens written for each item, its batches where it plans them, and the most memory it has had.
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
        """Loads the model, written anew in the system's own format, in a folder beside it, if that is needed."""
        ...

    def run(self, items: Sequence[WorkloadItem]) -> list[int]:
        """Runs the items; the number of tokens written for each."""
        ...


@runtime_checkable
class BatchingSystem(Protocol):
    def batches(self, items: Sequence[WorkloadItem]) -> list[list[int]]:
        """The batches in which ``run`` has these items, by their places."""
        ...


def peak_bytes() -> int:
    """The most that this process had: of a GPU's memory where it uses one, else of the machine's.

    What it no longer uses of a GPU is given back, for the systems that wait on the same one.
    """
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        # getrusage would tell that of the program which started this one, where it had more.
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
        told = {"seconds": seconds, "written": written, "batches": batches, "peak_bytes": peak_bytes()}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
