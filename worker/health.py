"""How a worker is, for the probes of Docker and Kubernetes. That Python runs is shown by any answer."""

import time
from collections.abc import Callable
from threading import Lock

from lengthwise import database
from lengthwise.errors import Unavailable
from lengthwise.ledger import schema

#: Probes within this time share one question to Postgres, so that nobody can keep its connections busy by asking.
_SHARED_SECONDS = 1.0


class WorkerHealth:
    """``is_stuck`` says whether the process has stopped getting on with its work."""

    def __init__(self, is_stuck: Callable[[], bool], *, is_prepared: bool = True) -> None:
        self._is_stuck = is_stuck
        #: Whether the first models have been loaded, as far as they can be.
        self.is_prepared = is_prepared
        self._lock = Lock()
        self._asked_at = float("-inf")
        self._reasons: list[str] = []

    def hung(self) -> list[str]:
        """Why the process should be restarted; empty if it works."""
        return ["no step of its work has ended for too long"] if self._is_stuck() else []

    def unready(self) -> list[str]:
        """Why it cannot work now; empty if it can."""
        loading = [] if self.is_prepared else ["the first models are being loaded"]
        return self.hung() + loading + self._database()

    def _database(self) -> list[str]:
        with self._lock:
            if time.monotonic() - self._asked_at >= _SHARED_SECONDS:
                self._reasons = _ask()
                self._asked_at = time.monotonic()
            return self._reasons


def _ask() -> list[str]:
    try:
        with database.translated(), database.engine().asking() as connection:
            return ["the database is not migrated"] if schema.incomplete_tables(connection) else []
    except Unavailable:
        return ["the database does not answer"]
