"""What this process reports of itself, every few seconds, in a row of its own (``lengthwise.ledger.workers``).

Whoever works here only sets attributes, which cost next to nothing. A thread writes the reports. If the process is
frozen or killed, or a library holds the interpreter, nothing is written, and that is how others notice.
"""

import os
import socket
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from importlib.metadata import version
from threading import Lock
from uuid import uuid4

from lengthwise.kinds import pool as pools
from lengthwise.ledger.workers import ReportedModel, WorkerReport
from lengthwise.states import WorkerRole, WorkerState
from worker.presence.known_model import KnownModel
from worker.presence.pace import Pace
from worker.presence.reports import Reports
from worker.presence.told import reason, told
from worker.shutdown import Shutdown


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
        self._models: dict[str, KnownModel] = {}
        self._error: tuple[str, float] | None = None
        self._reports: Reports | None = None

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
        self._models[name] = KnownModel(
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
        self._hasten()

    def failed(self, name: str, error: BaseException) -> None:
        """A model could not be loaded. If an older revision is loaded, that one goes on."""
        known = self._models.get(name) or KnownModel(ReportedModel(name=name, state="failed"))
        self._models[name] = replace(
            known, reported=replace(known.reported, reason=reason(error)), failed_at=time.monotonic()
        )
        self._hasten()

    def paused(self, name: str, seconds: float, error: BaseException) -> None:
        """A model pauses for so long, because something that its engine depends on is away."""
        if known := self._models.get(name):
            reported = replace(known.reported, paused_for=reason(error))
            self._models[name] = replace(known, reported=reported, paused_until=time.monotonic() + seconds)

    def dropped(self, name: str) -> None:
        """A model is loaded no more."""
        self._models.pop(name, None)

    def mended(self, name: str) -> None:
        """The loaded revision of a model is the one that is wanted. If a newer one failed, that is over."""
        known = self._models.get(name)
        if known is not None and known.reported.state == "loaded" and known.failed_at is not None:
            self._models[name] = replace(known, reported=replace(known.reported, reason=None), failed_at=None)
            self._hasten()

    def keep(self, names: Collection[str]) -> None:
        """Forgets failures of models other than these: ``models.toml`` names them no more."""
        for name, known in self._models.copy().items():
            if name not in names and known.reported.state == "failed":
                self.dropped(name)

    def error(self, error: BaseException) -> None:
        """Something failed."""
        self._error = (told(error), time.monotonic())

    # What the process calls at its start and end.

    def begin(
        self,
        step: Callable[[], float],
        *,
        busy_seconds: Callable[[], float | None] = lambda: None,
        is_deserted: Callable[[], bool] = lambda: False,
    ) -> None:
        """Starts the reports. Until ``ready``, the process counts as starting.

        ``step``: when the work that runs now last made a step; 0 while nothing runs. ``busy_seconds``: how long the
        process has worked since it started, if that is known. While the process ``is_deserted``, it reports nothing:
        the process that gives it work is frozen.
        """
        self._id, self._began_at = uuid4(), time.monotonic()
        self._step = step
        self._host, self._version = socket.gethostname(), version("lengthwise")
        self._reported_at, self._last_step_at = self._began_at, 0.0
        self._busy_seconds = busy_seconds
        self._pace, self._busy_pace = Pace(self._began_at), Pace(0.0)
        self._reports = Reports(self._id, self._made, is_deserted, self._shutdown)
        self._reports.start()

    def ready(self) -> None:
        """The process is ready for work."""
        self._is_starting = False
        self._hasten()

    def end(self) -> None:
        """Removes the row, since the process ends in order. Takes two seconds at most."""
        if self._reports is not None:
            self._reports.end()

    def _hasten(self) -> None:
        if self._reports is not None:
            self._reports.hasten()

    def _made(self) -> WorkerReport:
        now, step = time.monotonic(), self._step()
        self._last_step_at = max(self._last_step_at, self._stepped_at, step)
        state = self._state(is_working=step > 0 or self._last_step_at > self._reported_at)
        self._reported_at = now
        known = [each.at(now) for each in self._models.copy().values()]
        pool, (rows, tokens) = (self.pool, self._batch) if state is WorkerState.WORKING else (None, (0, 0))
        message, failed_at = self._error or (None, now)
        busy = self._busy_seconds()
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
            items_per_second=self._pace.after(now, self._n_items),
            busy_seconds=busy,
            items_per_busy_second=None if busy is None else self._busy_pace.after(busy, self._n_items),
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
