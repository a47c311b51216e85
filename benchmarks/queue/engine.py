"""The no-op engine, with a line in a file for each batch; and how a worker comes to find it."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from worker.engine.echo import EchoEngine
from worker.engine.plain_batch import Steps
from worker.engine.protocol import Request

TRACED = "traced"
_TRACE_VARIABLE = "QUEUE_BENCH_TRACE"


class TracedEngine(EchoEngine):
    """Appends ``pid began ended width rows`` to the file that the environment names."""

    def run(self, requests: Sequence[Request]) -> Steps:
        began = time.monotonic()
        steps = list(super().run(requests))
        ended = time.monotonic()
        width = max(len(request.tokens) for request in requests)
        with Path(os.environ[_TRACE_VARIABLE]).open("a") as trace:
            trace.write(f"{os.getpid()} {began} {ended} {width} {len(requests)}\n")
        yield from steps


@dataclass(frozen=True)
class Batch:
    """Times are those of the machine's monotonic clock."""

    pid: int
    began: float
    ended: float
    width: int
    rows: int


def read(trace: Path) -> list[Batch]:
    """The batches in the order in which they ended."""
    fields = [line.split() for line in trace.read_text().splitlines()]
    return [
        Batch(int(pid), float(began), float(ended), int(width), int(rows)) for pid, began, ended, width, rows in fields
    ]


def install(folder: Path, trace: Path) -> dict[str, str]:
    """The variables under which a worker knows this engine: its entry point is that of a package made in ``folder``."""
    package = folder / "lengthwise_queue_bench-0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: lengthwise-queue-bench\nVersion: 0\n")
    entry = f"[lengthwise.engines]\n{TRACED} = {TracedEngine.__module__}:{TracedEngine.__name__}\n"
    (package / "entry_points.txt").write_text(entry)
    trace.touch()
    return {_TRACE_VARIABLE: str(trace), "PYTHONPATH": str(folder)}
