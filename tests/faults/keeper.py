"""A process manager: what ends is started again a moment later, unless it is meant to be down.

Knows nothing of what the processes are.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace

from lengthwise.child import Child
from tests.servers import wait_until

#: Between a process's end and its restart.
RESTART_SECONDS = 0.3


class Keeper:
    def __init__(self) -> None:
        #: Those that were started again, in order.
        self.ended: list[str] = []
        self._children: dict[str, Child] = {}
        self._down: set[str] = set()
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="keeper", daemon=True)

    def add(self, child: Child) -> None:
        self._children[child.name] = child

    def start(self) -> None:
        """From now on what ends is started again."""
        self._thread.start()

    def stop(self) -> None:
        """From now on it is not."""
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
        """Whether the process that had this id has ended, and perhaps another was started in its place."""
        return not self.is_running(name) or self.pid_of(name) != pid

    def change(self, name: str, environment: Mapping[str, str]) -> None:
        """From its next start it has these variables."""
        child = self._children[name]
        child.program = replace(child.program, environment={**(child.program.environment or {}), **environment})

    def send(self, name: str, number: signal.Signals) -> None:
        """To the process itself, not to its children."""
        with self._lock:
            if self._children[name].is_running:
                os.kill(self.pid_of(name), number)

    def send_group(self, name: str, number: signal.Signals) -> None:
        with self._lock:
            if self._children[name].is_running:
                os.killpg(self.pid_of(name), number)

    def send_process(self, pid: int, number: signal.Signals) -> None:
        """To one process that a child has started."""
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    def renew(self, *names: str) -> None:
        """kill -9, to all of each one's group; they are started again."""
        for name in names:
            pid = self.pid_of(name)
            with self._lock:
                self._children[name].kill()
            wait_until(lambda name=name, pid=pid: self.is_running(name) and self.pid_of(name) != pid)

    @contextmanager
    def down(self, name: str, number: signal.Signals, answers: Callable[[], bool]) -> Iterator[None]:
        """A child ends by this signal, stays down while the context is open, and answers when it is left."""
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
