"""What processes cost: CPU of whole process trees from the kernel's own clocks, and bytes over Redis' sockets.

Knows nothing of what the processes do.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import redis

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
#: A process's CPU clock, all its threads included, ended ones too: its id, inverted, above these bits (Linux).
_CPUCLOCK_SCHED = 2


@dataclass(frozen=True)
class MeterReading:
    """CPU seconds so far by the name of a tree, those of this process, and Redis' network bytes so far."""

    at: float
    cpu: Mapping[str, float]
    caller: float
    #: For which the cores that this process may run on were not idle, whoever used them.
    busy: float
    redis_in: int
    redis_out: int


@dataclass(frozen=True)
class MeteredCost:
    """What lies between two readings."""

    seconds: float
    cpu: Mapping[str, float]
    #: The part of the cores' time that went to nothing of ours: other programs, other guests of the same machine.
    others_share: float
    redis_in: int
    redis_out: int

    @classmethod
    def between(cls, before: MeterReading, after: MeterReading) -> "MeteredCost":
        seconds = after.at - before.at
        cpu = {name: after.cpu[name] - before.cpu[name] for name in after.cpu}
        own = sum(cpu.values()) + after.caller - before.caller
        return cls(
            seconds,
            cpu,
            max(0.0, after.busy - before.busy - own) / seconds,
            after.redis_in - before.redis_in,
            after.redis_out - before.redis_out,
        )

    @property
    def cpu_seconds(self) -> float:
        return sum(self.cpu.values())


class Meter:
    """Reads the trees under these processes. A tree is charged for children that have ended, too."""

    def __init__(self, roots: Mapping[str, int], server: redis.Redis) -> None:
        self._roots = roots
        self._server = server

    def read(self) -> MeterReading:
        # Bytes first: the answer to this very question is then in no interval's figures but the next one's.
        stats = self._server.info("stats")
        parents = _parents()
        cpu = {name: sum(map(_cpu_seconds, _tree(root, parents))) for name, root in self._roots.items()}
        return MeterReading(
            at=time.time(),
            cpu=cpu,
            caller=time.process_time(),
            busy=_busy_seconds(),
            redis_in=int(stats["total_net_input_bytes"]),
            redis_out=int(stats["total_net_output_bytes"]),
        )


def peak_memory_bytes(pid: int) -> int:
    """The most memory a process has had in RAM."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _busy_seconds() -> float:
    cores = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    rows = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    # user, nice, system, idle, iowait, irq, softirq, steal: all but the two that wait.
    ticks = [sum(map(int, (*row[1:4], *row[6:9]))) for row in rows if row and row[0] in cores]
    return sum(ticks) * _TICK_SECONDS


def _parents() -> dict[int, int]:
    """Each process's parent, of this whole machine."""
    found = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            found[int(entry.name)] = int(fields[1])
    return found


def _tree(root: int, parents: Mapping[int, int]) -> set[int]:
    tree = {root}
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return tree


def _cpu_seconds(pid: int) -> float:
    """Its own time to the nanosecond; that of children it has waited for (cutime, cstime) in ticks of the kernel.

    Postgres' ended sessions are in the second: the postmaster waits for each of them.
    """
    fields = _stat(pid)
    if not fields:
        return 0.0  # it ended since it was listed, and stands in its parent's figures soon
    ended = (int(fields[13]) + int(fields[14])) * _TICK_SECONDS
    try:
        return ended + time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        return ended


def _stat(pid: int) -> list[str]:
    """The fields of proc(5)'s stat from the third, ``state``, on; empty if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
