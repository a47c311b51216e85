"""Runs a system in its own process, on one core with one thread. The process runs items on request."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.child_program import ChildProgram, SystemFailure
from benchmarks.child_program import running as running_program
from benchmarks.engine.workload import WORKLOADS


@dataclass
class SystemProcess:
    """A loaded system."""

    program: ChildProgram
    workload: str
    #: After the last round: peak memory so far, and the round's batches (None if the system does not plan them).
    peak_bytes: int = 0
    batches: list[list[int]] | None = None

    def items_per_second(self, count: int, number: int, clock: str = "wall") -> float:
        """Runs ``count`` items of round ``number``. ``clock`` is ``wall`` or ``cpu`` (the process's CPU time).

        Raises ``SystemFailure`` if outputs do not have the requested lengths.
        """
        answer = self.program.ask(f"{count} {number}")
        wanted = [size.n_output for size in WORKLOADS[self.workload].drawn(count)]
        wrong = sum(written != length for written, length in zip(answer["written"], wanted, strict=True))
        if wrong:
            raise SystemFailure(f"{self.program.name}: {wrong} of {count} outputs do not have the requested length")
        self.peak_bytes, self.batches = answer["peak_bytes"], answer["batches"]
        return count / float(answer["seconds"][clock])


@contextmanager
def running(name: str, place: str, workload: str, model: Path, python: Path) -> Iterator[SystemProcess]:
    """Loads the system at ``place`` (``module:class``) with the interpreter ``python``. Raises ``SystemFailure``."""
    with running_program(name, python, "benchmarks.engine.system", [place, workload, str(model)]) as program:
        program.answer()
        yield SystemProcess(program, workload)
