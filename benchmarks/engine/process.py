"""Runs a system in its own process, on one core with one thread. The process runs items on request."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.engine.workload import WORKLOADS

_ROOT = Path(__file__).parents[2]
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1") | {
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}


class SystemFailure(Exception):
    """A system could not be loaded, or its outputs do not have the requested lengths."""


@dataclass
class SystemProcess:
    """A loaded system."""

    name: str
    workload: str
    process: subprocess.Popen[str]
    #: After the last round: peak memory so far, and the round's batches (None if the system does not plan them).
    peak_bytes: int = 0
    batches: list[list[int]] | None = None

    def items_per_second(self, count: int, number: int, clock: str = "wall") -> float:
        """Runs ``count`` items of round ``number``. ``clock`` is ``wall`` or ``cpu`` (the process's CPU time).

        Raises ``SystemFailure``.
        """
        assert self.process.stdin is not None  # noqa: S101 — the process was started with pipes
        print(count, number, file=self.process.stdin, flush=True)
        answer = self.answer()
        wanted = [size.n_output for size in WORKLOADS[self.workload].drawn(count)]
        wrong = sum(written != length for written, length in zip(answer["written"], wanted, strict=True))
        if wrong:
            raise SystemFailure(f"{self.name}: {wrong} of {count} outputs do not have the requested length")
        self.peak_bytes, self.batches = answer["peak_bytes"], answer["batches"]
        return count / float(answer["seconds"][clock])

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None  # noqa: S101
        for line in self.process.stdout:
            if line.startswith("{"):  # other lines come from libraries
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise SystemFailure(f"{self.name} ended unexpectedly; its errors are above")


@contextmanager
def running(name: str, place: str, workload: str, model: Path, python: Path) -> Iterator[SystemProcess]:
    """Loads the system at ``place`` (``module:class``) with the interpreter ``python``. Raises ``SystemFailure``."""
    command = [str(python), "-m", "benchmarks.engine.system", place, workload, str(model)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT, env=os.environ | _ONE_THREAD
    )
    try:
        started = SystemProcess(name, workload, process)
        started.answer()
        yield started
    finally:
        process.kill()
        process.wait()
