"""A process manager: it restarts processes that end, unless they are meant to be down.

It does not know what the processes do.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

from lengthwise.child import Child
from tests.servers import wait_until

#: Seconds between a process's end and its restart.
RESTART_SECONDS = 0.3


class Keeper:
    def __init__(self) -> None:
        #: The names of the processes that were restarted, in order.
        self.ended: list[str] = []
        self._children: dict[str, Child] = {}
        self._down: set[str] = set()
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="keeper", daemon=True)

    def add(self, child: Child) -> None:
        self._children[child.name] = child

    def start(self) -> None:
        """Starts to restart processes that end."""
        self._thread.start()

    def stop(self) -> None:
        """Stops to restart processes."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            for name in self._children:
                if self._has_ended(name) and not self._over.wait(RESTART_SECONDS):
                    with self._lock:
                        if self._has_ended(name):
                            self.ended.append(name)
                            self._children[name].start()

    def _has_ended(self, name: str) -> bool:
        return name not in self._down and not self.is_running(name)

    def is_running(self, name: str) -> bool:
        with self._lock:
            return self._children[name].is_running

    def pid_of(self, name: str) -> int:
        pid = self._children[name].pid
        assert pid is not None
        return pid

    def has_gone(self, name: str, pid: int) -> bool:
        """Whether the process with this id has ended, even if it has a successor already."""
        return not self.is_running(name) or self.pid_of(name) != pid

    def change(self, name: str, environment: Mapping[str, str]) -> None:
        """Adds these environment variables, which take effect at the next start."""
        child = self._children[name]
        child.program = replace(child.program, environment={**(child.program.environment or {}), **environment})

    def send(self, name: str, number: signal.Signals) -> None:
        """Sends a signal to the process itself, not to its children."""
        with self._lock:
            if self._children[name].is_running:
                os.kill(self.pid_of(name), number)

    def send_group(self, name: str, number: signal.Signals) -> None:
        with self._lock:
            if self._children[name].is_running:
                os.killpg(self.pid_of(name), number)

    def send_process(self, pid: int, number: signal.Signals) -> None:
        """Sends a signal to one process that a child has started."""
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    def renew(self, *names: str) -> None:
        """Kills the whole group of each process with SIGKILL, and waits until it is restarted."""
        for name in names:
            pid = self.pid_of(name)
            with self._lock:
                self._children[name].kill()
            wait_until(lambda name=name, pid=pid: self.is_running(name) and self.pid_of(name) != pid)

    @contextmanager
    def down(self, name: str, number: signal.Signals, answers: Callable[[], bool]) -> Iterator[None]:
        """Ends a child with this signal and keeps it down while the context is open; then waits until it answers."""
        self._down.add(name)
        self.send(name, number)
        wait_until(lambda: not self.is_running(name))
        try:
            yield
        finally:
            with self._lock:
                self._children[name].start()
                self._down.discard(name)
            wait_until(answers)
