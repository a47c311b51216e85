"""What is measured: something that loads a model and runs items, alone in a process with one thread.

``python -m benchmarks.engine.system NAME WORKLOAD FOLDER`` loads, says so, and for each line it reads (the number of
items and of the round) runs these once, answering with the seconds that took, those of them in which this process had
the core, and the tokens written for each item.
"""

import json
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol

from benchmarks.engine.workload import WORKLOADS, Item, Workload


class System(Protocol):
    def __init__(self, model: Path, workload: Workload) -> None:
        """Loads the model, written anew in the system's own format, in a folder beside it, if that is needed."""
        ...

    def run(self, items: Sequence[Item]) -> list[int]:
        """Runs the items; the number of tokens written for each."""
        ...


def main() -> None:
    place, workload_name, folder = sys.argv[1:]
    module, _, class_name = place.partition(":")
    workload = WORKLOADS[workload_name]
    system: System = getattr(import_module(f"benchmarks.engine.{module}"), class_name)(Path(folder), workload)
    system.run(workload.items(4, 0))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        count, number = map(int, line.split())
        items = workload.items(count, number)
        began, cpu = time.perf_counter(), time.process_time()
        written = system.run(items)
        seconds = {"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}
        print(json.dumps({"seconds": seconds, "written": written}), flush=True)


if __name__ == "__main__":
    main()
