"""What this process reports of itself, every few seconds, in a row of its own (``lengthwise.ledger.workers``).

Whoever works here only sets attributes, which cost next to nothing. A thread writes the reports. If the process is
frozen or killed, or a library holds the interpreter, nothing is written, and that is how others notice.
"""

import logging
import os
import re
import socket
import time
from collections import deque
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from threading import Event, Lock, Thread
from uuid import uuid4

from sqlalchemy import Connection

from lengthwise import database, settings
from lengthwise.errors import LengthwiseError, ModelUnusable, Unavailable
from lengthwise.kinds import pool as pools
from lengthwise.ledger import workers
from lengthwise.ledger.workers import ReportedModel, WorkerReport
from lengthwise.states import WorkerRole, WorkerState
from worker.engine.protocol import EngineError
from worker.shutdown import Shutdown

log = logging.getLogger(__name__)

#: How soon the thread notices that the worker shuts down.
_POLL_SECONDS = 0.25
#: The time over which items per second are averaged.
_RATE_SECONDS = 60.0
#: How long the end of the process waits until its row is removed. If the database is away, the row is forgotten later.
_END_SECONDS = 2.0
#: Characters of an error's message.
_MOST_CHARACTERS = 500
#: The folders of an absolute path. No two of its parts can match the same characters.
_FOLDERS = re.compile(r"(?<![\w.:/])(?:/[^\s/'\"]+)+/")


def _message(error: BaseException) -> str:
    """Our own message; empty for an error of a library, whose message may hold anything.

    Callers may see it, so it names no folder of this machine.
    """
    if not isinstance(error, (LengthwiseError, EngineError)):
        return ""
    message = error.reason if isinstance(error, ModelUnusable) else str(error)
    return _FOLDERS.sub("", message[:_MOST_CHARACTERS])


def _reason(error: BaseException) -> str:
    return _message(error) or f"unexpected {type(error).__name__}"


@dataclass(frozen=True, slots=True)
class _KnownModel:
    """A model as it is reported, and two times by the monotonic clock."""

    reported: ReportedModel
    failed_at: float | None = None
    paused_until: float | None = None

    def at(self, now: float) -> ReportedModel:
        """It as it is reported now."""
        failed = None if self.failed_at is None else now - self.failed_at
        if self.paused_until is None or self.paused_until <= now:
            return replace(self.reported, failed_seconds=failed, paused_for=None)
        return replace(self.reported, failed_seconds=failed, paused_seconds=self.paused_until - now)


class Presence:
    """The presence of one process. Creating it starts nothing, and until ``begin`` nothing is reported."""

    def __init__(self, role: WorkerRole, shutdown: Shutdown) -> None:
        self._role, self._shutdown = role, shutdown
        #: The worker's name; that of its parent if that forks.
        self.name: str | None = None
        #: The pool of the batches that follow.
        self.pool: str | None = None
        self._batch = (0, 0)
        self._stepped_at = 0.0
        self._is_starting = True
        #: Held by those who count, and never by the thread that reports.
        self._counting = Lock()
        self._n_items = self._n_tokens = 0
        #: Its values are replaced and never changed, so that the thread can copy it at any time.
        self._models: dict[str, _KnownModel] = {}
        self._error: tuple[str, float] | None = None
        self._thread: Thread | None = None
        self._changed = Event()
        self._is_over = self._is_silent = False

    # What those who work call, in any thread. The times are those of the monotonic clock.

    def batch(self, rows: int, tokens: int) -> None:
        """A batch of ``pool`` begins, or its requests change: so many rows, and input tokens with padding."""
        self._batch = (rows, tokens)
        self._stepped_at = time.monotonic()

    def settled(self, items: int, tokens: int = 0) -> None:
        """So many items were settled, or deliveries attempted; ``tokens`` counts input and output."""
        with self._counting:
            self._n_items += items
            self._n_tokens += tokens
        self._stepped_at = time.monotonic()

    def loaded(
        self,
        name: str,
        *,
        revision: str,
        quantization: str,
        device: str,
        memory_bytes: int | None,
        load_seconds: float,
    ) -> None:
        """A model was loaded, perhaps in place of an older revision."""
        self._models[name] = _KnownModel(
            ReportedModel(
                name=name,
                state="loaded",
                revision=revision,
                quantization=quantization,
                device=device,
                memory_bytes=memory_bytes,
                load_seconds=load_seconds,
            )
        )
        self._changed.set()

    def failed(self, name: str, error: BaseException) -> None:
        """A model could not be loaded. If an older revision is loaded, that one goes on."""
        known = self._models.get(name) or _KnownModel(ReportedModel(name=name, state="failed"))
        self._models[name] = replace(
            known, reported=replace(known.reported, reason=_reason(error)), failed_at=time.monotonic()
        )
        self._changed.set()

    def paused(self, name: str, seconds: float, error: BaseException) -> None:
        """A model pauses for so long, because something that its engine depends on is away."""
        if known := self._models.get(name):
            reported = replace(known.reported, paused_for=_reason(error))
            self._models[name] = replace(known, reported=reported, paused_until=time.monotonic() + seconds)

    def dropped(self, name: str) -> None:
        """A model is loaded no more."""
        self._models.pop(name, None)

    def keep(self, names: Collection[str]) -> None:
        """Forgets failures of models other than these: ``models.toml`` names them no more."""
        for name, known in self._models.copy().items():
            if name not in names and known.reported.state == "failed":
                self.dropped(name)

    def error(self, error: BaseException) -> None:
        """Something failed."""
        name, message = type(error).__name__, _message(error)
        self._error = (f"{name}: {message}" if message else name, time.monotonic())

    # What the process calls at its start and end.

    def begin(self, step: Callable[[], float], *, is_deserted: Callable[[], bool] = lambda: False) -> None:
        """Starts the reports. Until ``ready``, the process counts as starting.

        ``step``: when the work that runs now last made a step; 0 while nothing runs. While the process
        ``is_deserted``, it reports nothing: the process that gives it work is frozen.
        """
        self._id, self._began_at = uuid4(), time.monotonic()
        self._step, self._is_deserted = step, is_deserted
        self._host, self._version = socket.gethostname(), version("lengthwise")
        self._reported, self._reported_at = WorkerState.STARTING, self._began_at
        self._last_step_at = 0.0
        self._counts = deque([(self._began_at, 0)])
        self._thread = Thread(target=self._run, name="presence", daemon=True)
        self._thread.start()

    def ready(self) -> None:
        """The process is ready for work."""
        self._is_starting = False
        self._changed.set()

    def end(self) -> None:
        """Removes the row, since the process ends in order. Takes two seconds at most."""
        self._is_over = True
        self._changed.set()
        if self._thread is not None:
            self._thread.join(_END_SECONDS)

    # The thread.

    def _run(self) -> None:
        while not self._is_over:
            if not self._is_deserted():
                self._report()
            self._wait()
        with suppress(Exception):  # the row is forgotten later
            self._write(lambda connection: workers.end(connection, self._id))

    def _wait(self) -> None:
        """Waits until the next report is due, or there is something to report at once.

        After its grace a worker is killed, so its row goes then, as what it had claimed does.
        """
        current = settings.get()
        due_at = time.monotonic() + current.presence_seconds
        while time.monotonic() < due_at and not self._changed.wait(_POLL_SECONDS):
            self._is_over |= self._shutdown.seconds > current.grace_seconds
            is_news = self._shutdown.is_begun and self._reported is not WorkerState.STOPPING
            if self._is_over or is_news:
                break
        self._changed.clear()

    def _report(self) -> None:
        report = self._made()
        try:
            self._write(lambda connection: workers.beat(connection, report))
        except Exception as error:  # whatever it is, the next report tries again
            if not self._is_silent:
                said = str(error) if isinstance(error, Unavailable) else type(error).__name__
                log.warning("this worker does not report itself: %s", said)
            self._is_silent = True
            return
        if self._is_silent:
            log.warning("this worker reports itself again")
        self._is_silent = False

    def _write(self, statement: Callable[[Connection], None]) -> None:
        with database.translated(), database.engine().asking() as connection:
            statement(connection)

    def _made(self) -> WorkerReport:
        now, step = time.monotonic(), self._step()
        self._last_step_at = max(self._last_step_at, self._stepped_at, step)
        state = self._state(is_working=step > 0 or self._last_step_at > self._reported_at)
        self._reported, self._reported_at = state, now
        known = [each.at(now) for each in self._models.copy().values()]
        pool, (rows, tokens) = (self.pool, self._batch) if state is WorkerState.WORKING else (None, (0, 0))
        message, failed_at = self._error or (None, now)
        return WorkerReport(
            id=self._id,
            role=self._role,
            name=self.name or f"{self._role}-{os.getpid()}",
            host=self._host,
            pid=os.getpid(),
            device=next((each.device for each in known if each.device), None),
            version=self._version,
            started_seconds=now - self._began_at,
            stepped_seconds=max(0.0, now - self._last_step_at) if self._last_step_at else None,
            state=state,
            model=pool and pools.model_of(pool),
            pool=pool,
            batch_rows=rows or None,
            batch_tokens=tokens or None,
            n_items=self._n_items,
            n_tokens=self._n_tokens,
            items_per_second=self._rate(now),
            models=known,
            last_error=message,
            error_seconds=None if message is None else now - failed_at,
        )

    def _state(self, *, is_working: bool) -> WorkerState:
        if self._shutdown.is_begun:
            return WorkerState.STOPPING
        if self._is_starting:
            return WorkerState.STARTING
        return WorkerState.WORKING if is_working else WorkerState.IDLE

    def _rate(self, now: float) -> float:
        """Items per second over the last minute, or since the start."""
        counts = self._counts
        counts.append((now, self._n_items))
        while now - counts[1][0] >= _RATE_SECONDS:
            counts.popleft()
        began_at, n_before = counts[0]
        return (counts[-1][1] - n_before) / max(now - began_at, 1e-6)
