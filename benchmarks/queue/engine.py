"""The no-op engine, which writes a line to a file for each batch; and its installation for a worker."""

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
    """Appends a line ``pid began ended width rows`` per batch to the file that the environment names."""

    def run(self, requests: Sequence[Request]) -> Steps:
        began = time.monotonic()
        steps = list(super().run(requests))
        ended = time.monotonic()
        width = max(len(request.tokens) for request in requests)
        with Path(os.environ[_TRACE_VARIABLE]).open("a") as trace:
            trace.write(f"{os.getpid()} {began} {ended} {width} {len(requests)}\n")
        yield from steps


@dataclass(frozen=True)
class TracedBatch:
    """One batch of the trace. Times are from the machine's monotonic clock."""

    pid: int
    began: float
    ended: float
    width: int
    rows: int


def read(trace: Path) -> list[TracedBatch]:
    """Reads the batches, in the order in which they ended."""
    fields = [line.split() for line in trace.read_text().splitlines()]
    return [
        TracedBatch(int(pid), float(began), float(ended), int(width), int(rows))
        for pid, began, ended, width, rows in fields
    ]


def install(folder: Path, trace: Path) -> dict[str, str]:
    """Makes a package with the engine's entry point in ``folder``.

    Returns the environment variables with which a worker finds the engine and its trace.
    """
    package = folder / "lengthwise_queue_bench-0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: lengthwise-queue-bench\nVersion: 0\n")
    entry = f"[lengthwise.engines]\n{TRACED} = {TracedEngine.__module__}:{TracedEngine.__name__}\n"
    (package / "entry_points.txt").write_text(entry)
    trace.touch()
    return {_TRACE_VARIABLE: str(trace), "PYTHONPATH": str(folder)}
