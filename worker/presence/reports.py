"""The thread that writes the reports of a process. While the database is away it stays silent, and tries again."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database, settings
from lengthwise.errors import Unavailable
from lengthwise.ledger import workers
from lengthwise.ledger.workers import WorkerReport
from lengthwise.states import WorkerState
from worker.shutdown import Shutdown

log = logging.getLogger(__name__)

#: How soon the thread notices that the worker shuts down.
_POLL_SECONDS = 0.25
#: How long the end of the process waits until its row is removed. If the database is away, the row is forgotten later.
_END_SECONDS = 2.0


class Reports:
    """The reports of the process that has this id. ``make`` makes one.

    While the process ``is_deserted``, nothing is reported: the process that gives it work is frozen.
    """

    def __init__(
        self, worker_id: UUID, make: Callable[[], WorkerReport], is_deserted: Callable[[], bool], shutdown: Shutdown
    ) -> None:
        self._id, self._make, self._is_deserted, self._shutdown = worker_id, make, is_deserted, shutdown
        self._reported: WorkerState | None = None
        self._is_over = self._is_silent = False
        self._news = Event()
        self._thread = Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def hasten(self) -> None:
        """Lets the next report come at once."""
        self._news.set()

    def end(self) -> None:
        """Removes the row. Takes two seconds at most."""
        self._is_over = True
        self._news.set()
        self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        while not self._is_over:
            if not self._is_deserted():
                self._report()
            self._wait()
        with suppress(Exception):  # the row is forgotten later
            _write(lambda connection: workers.end(connection, self._id))

    def _wait(self) -> None:
        """Waits until the next report is due, or there is something to report at once.

        After its grace a worker is killed, so its row goes then, as what it had claimed does.
        """
        current = settings.get()
        due_at = time.monotonic() + current.presence_seconds
        poll_seconds = min(_POLL_SECONDS, current.presence_seconds)
        while time.monotonic() < due_at and not self._news.wait(poll_seconds):
            self._is_over |= self._shutdown.seconds > current.grace_seconds
            is_news = self._shutdown.is_begun and self._reported is not WorkerState.STOPPING
            if self._is_over or is_news:
                break
        self._news.clear()

    def _report(self) -> None:
        try:
            report = self._make()
            self._reported = report.state
            _write(lambda connection: workers.beat(connection, report))
        except Exception as error:  # whatever it is, the next report tries again
            if not self._is_silent:
                said = str(error) if isinstance(error, Unavailable) else type(error).__name__
                log.warning("this worker does not report itself: %s", said)
            self._is_silent = True
            return
        if self._is_silent:
            log.warning("this worker reports itself again")
        self._is_silent = False


def _write(statement: Callable[[Connection], None]) -> None:
    with database.translated(), database.engine().asking() as connection:
        statement(connection)
