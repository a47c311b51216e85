"""What was seen of an attack, and whether the system kept its promises."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.table import Table

from tests.hostile.installation import Installation
from tests.hostile.second_caller import Waits

#: In every hostile request. It may appear in no error and no log.
CANARY = "ZZkanarienvogelZZ"
API_BYTES = 400 * 2**20
#: What the worker may take beyond its memory with its models loaded.
WORKER_BYTES = 300 * 2**20


class MemoryGauge:
    """Measures the memory of the installation's processes every 0.3 s while it is entered."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self.peaks: dict[str, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)

    def _measure(self) -> None:
        while not self._over.wait(0.3):
            for role, n_bytes in self._installation.memory().items():
                self.peaks[role] = max(self.peaks.get(role, 0), n_bytes)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()


@dataclass
class Outcome:
    """One attack's answers and what it cost. ``problems`` are promises that were broken."""

    name: str
    n_requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def saw(self, status: int, body: bytes = b"", what: str = "") -> None:
        """Notes an answer; 0 is a connection that the server closed without one."""
        self.n_requests += 1
        self.statuses[status] += 1
        if status >= 500:
            self.problem(f"{status} {what}")
        if 400 <= status < 500 and CANARY.encode() in body:
            self.problem(f"an error repeats what was sent {what}")

    def problem(self, what: str) -> None:
        if len(self.problems) < 10:
            self.problems.append(what)

    def add(self, other: "Outcome") -> None:
        self.n_requests += other.n_requests
        self.statuses += other.statuses
        for each in other.problems:
            self.problem(each)

    def judge(self, waits: Waits, peaks: dict[str, int], before: dict[str, int]) -> None:
        """Adds what the second caller and the gauge saw."""
        for name, at, seconds, status in waits.late:
            self.problem(f"the second caller waited {seconds:.1f} s for {name} ({status}) at {time.ctime(at)[11:19]}")
        for name, _, _, status in waits.failed:
            self.problem(f"the second caller got {status} for {name}")
        if peaks.get("api", 0) > API_BYTES:
            self.problem(f"the API took {peaks['api'] >> 20} MiB")
        if peaks.get("worker", 0) > before["worker"] + WORKER_BYTES:
            self.problem(f"the worker took {peaks['worker'] >> 20} MiB, {before['worker'] >> 20} MiB before")


@dataclass(frozen=True)
class Row:
    outcome: Outcome
    waits: Waits
    peaks: dict[str, int]


def show(rows: list[Row], console: Console) -> None:
    table = Table("attack", "requests", "answers", "second caller p99, max", "API", "worker", "problems")
    for row in rows:
        longest = max((each[2] for each in row.waits.seen), default=0.0)
        table.add_row(
            row.outcome.name,
            f"{row.outcome.n_requests:,}",
            " ".join(f"{status}×{count}" for status, count in sorted(row.outcome.statuses.items())),
            f"{row.waits.p99():.2f} s, {longest:.2f} s",
            *(f"{row.peaks.get(role, 0) >> 20} MiB" for role in ("api", "worker")),
            "\n".join(row.outcome.problems) or "none",
        )
    console.print(table)
