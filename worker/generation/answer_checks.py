"""Runs what is costly about making an output in threads, beside the engine. Tenants take turns."""

from collections import deque
from collections.abc import Callable
from threading import Condition, Event, Thread
from uuid import UUID

from lengthwise import logs

#: As many as there are confined children for schemas.
_THREADS = 2


class AnswerChecks:
    """The threads of one process. They start with the first check, and so in the process that uses them."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, deque[Callable[[], None]]] = {}
        self._change = Condition()
        self._n_threads = 0
        self._has_ended = Event()

    def add(self, tenant_id: UUID, check: Callable[[], None]) -> None:
        """Runs ``check`` soon. It may not raise. It waits for no more than one check of each other tenant."""
        with self._change:
            self._waiting.setdefault(tenant_id, deque()).append(logs.carried(check))
            if self._n_threads < _THREADS:
                self._n_threads += 1
                Thread(target=self._run, name="answer-check", daemon=True).start()
            self._change.notify()

    def wait(self, seconds: float) -> None:
        """Waits until a check has ended since the last call, or until the time is over."""
        self._has_ended.wait(seconds)
        self._has_ended.clear()

    def _run(self) -> None:
        while True:
            self._next()()
            self._has_ended.set()

    def _next(self) -> Callable[[], None]:
        with self._change:
            self._change.wait_for(lambda: self._waiting)
            tenant_id = next(iter(self._waiting))
            checks = self._waiting.pop(tenant_id)
            check = checks.popleft()
            if checks:
                self._waiting[tenant_id] = checks  # the last of all: the others come first
            return check
