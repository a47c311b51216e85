"""Makes the machine busy on purpose: processes that compute, touch memory and write to the disk until the run ends.

They have niceness 0 and belong to the session of the run, so that the kernel lets them compete with each process of the
system under test. No recovery may depend on an idle machine.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lengthwise import child
from lengthwise.child import Child, Program

_MEBIBYTE = 2**20
#: What the process that touches memory holds at most, and its share of what is free.
_MOST_BYTES = 1024 * _MEBIBYTE
_SHARE = 0.25
#: The writer flushes each block to the disk, and begins anew after so many.
_BLOCK_BYTES = 8 * _MEBIBYTE
_BLOCKS = 16


@dataclass(frozen=True)
class Allowance:
    """How much longer things may take than on an idle machine, as factors."""

    #: Of each recovery's bound.
    bound: float = 1
    #: Of the time in which work must have ended, and processes must have started.
    patience: float = 1


#: One process that computes on each core, and one each for memory and disk, leave a process of the stack a third of a
#: core at most, and less if the machine has other work. Half of a recovery is the lease, which does not depend on that;
#: the other half is some statements and bells, of which each waits for the CPU. The load takes three times as long to
#: finish, and a worker, which takes seconds of CPU time to start, three times as long to come back.
ON_BUSY_MACHINE = Allowance(bound=2, patience=4)


@contextmanager
def busy_machine(per_core: int) -> Iterator[None]:
    """Keeps the machine busy while the context is open, with ``per_core`` processes that compute on each core.

    The processes end with the context, or with this process. With 0 there are none.
    """
    if not per_core:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="busy-") as folder:
        kinds = ["compute"] * per_core * (os.cpu_count() or 1) + ["touch", "write"]
        children = [
            Child(Program(f"busy-{number}", [sys.executable, "-P", "-m", __name__, kind, folder]))
            for number, kind in enumerate(kinds)
        ]
        try:
            for started in children:
                started.start()
            yield
        finally:
            child.stop(children, 0.0)


def compute(_: Path) -> None:
    """Uses all CPU time that it gets."""
    while True:
        sum(range(100_000))


def touch(_: Path) -> None:
    """Reads and changes each page of a quarter of the free memory, again and again."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    held = bytearray(min(_MOST_BYTES, int(free * _SHARE)))
    page = os.sysconf("SC_PAGE_SIZE")
    while True:
        for start in range(0, len(held), page):
            held[start] = (held[start] + 1) % 256


def write(folder: Path) -> None:
    """Writes and flushes blocks, so that others wait for the disk."""
    block = os.urandom(_BLOCK_BYTES)
    while True:
        with (folder / "block").open("wb", buffering=0) as file:
            for _ in range(_BLOCKS):
                file.write(block)
                os.fsync(file.fileno())


_KINDS: dict[str, Callable[[Path], None]] = {"compute": compute, "touch": touch, "write": write}

if __name__ == "__main__":
    _KINDS[sys.argv[1]](Path(sys.argv[2]))
