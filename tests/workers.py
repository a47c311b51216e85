"""Starts real worker processes as an operator does, each in its own process group."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lengthwise.child import Child, Program
from tests.servers import wait_until
from worker.shutdown import Shutdown
from worker.upkeep.sweep import Sweeper

#: On a busy machine, a Celery worker needs seconds to start and to import everything.
START_SECONDS = 60

_EXTRA = {
    "generate": ("-c", "1"),
    "deliver": ("--pool", "threads", "-c", "2"),
}


def sweep() -> None:
    """Sweeps once, as a worker that has just started does."""
    Sweeper(Shutdown()).sweep()


@contextmanager
def worker(queue: str, folder: Path) -> Iterator[Child]:
    """Runs ``celery -A worker.app worker -Q QUEUE`` in this process's environment.

    Yields the worker once it is ready, and kills it at the end.
    """
    log = folder / f"{queue}-{len(list(folder.iterdir()))}.log"
    command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker", "-Q", queue, "-l", "INFO"]
    child = Child(Program(queue, [*command, "-n", f"{log.stem}@%h", *_EXTRA[queue]], environment=os.environ), log)
    child.start()
    with ExitStack() as stack:
        stack.callback(child.kill)
        wait_until(lambda: " ready." in child.output() or not child.is_running, START_SECONDS)
        assert child.is_running, child.output()
        yield child
