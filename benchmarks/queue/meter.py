"""Measures processes: CPU time of whole process trees from the kernel's clocks, and bytes over Redis' sockets.

It does not know what the processes do.
"""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import redis

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
#: On Linux, a process's CPU clock has the id (~pid << 3) | 2. It counts all threads, ended ones too.
_CPUCLOCK_SCHED = 2


@dataclass(frozen=True)
class MeterReading:
    """The counters at one moment: CPU seconds by process tree and of this process, and Redis' network bytes."""

    at: float
    cpu: Mapping[str, float]
    caller: float
    #: Seconds in which the cores of this process were busy with any program.
    busy: float
    redis_in: int
    redis_out: int


@dataclass(frozen=True)
class MeteredCost:
    """The difference between two readings."""

    seconds: float
    cpu: Mapping[str, float]
    #: The share of the time that went to other programs, or to other guests of the same host.
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
    """Reads the process trees under ``roots``. A tree's CPU time includes children that have ended."""

    def __init__(self, roots: Mapping[str, int], server: redis.Redis) -> None:
        self._roots = roots
        self._server = server

    def read(self) -> MeterReading:
        # Read the bytes first: the answer to this query then counts in the next interval.
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
    """Returns the peak resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _busy_seconds() -> float:
    cores = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    rows = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    # The fields are user, nice, system, idle, iowait, irq, softirq, steal. Idle and iowait do not count.
    ticks = [sum(map(int, (*row[1:4], *row[6:9]))) for row in rows if row and row[0] in cores]
    return sum(ticks) * _TICK_SECONDS


def _parents() -> dict[int, int]:
    """Returns the parent of every process on this machine."""
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
    """Adds the process's own time, to the nanosecond, and that of its reaped children (cutime, cstime), in ticks.

    The second part contains PostgreSQL's ended sessions, because the postmaster reaps each of them.
    """
    fields = _stat(pid)
    if not fields:
        return 0.0  # the process has just ended; its parent's cutime will contain it
    ended = (int(fields[13]) + int(fields[14])) * _TICK_SECONDS
    try:
        return ended + time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        return ended


def _stat(pid: int) -> list[str]:
    """Returns the fields of /proc/PID/stat from the third (``state``) on; none if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
