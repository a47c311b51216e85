"""Tells who listens that a job has ended, as its transaction commits; whoever came late asks which are still open."""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import psycopg

from lengthwise import database
from lengthwise.database import Database

_CHANNEL = "lengthwise_endings"

#: For the RETURNING of the statement that ends jobs.
TOLD = f"pg_notify('{_CHANNEL}', id::text)"


class Listener:
    """A connection of its own that hears of every job's end. Used by one thread at a time.

    It must reach Postgres itself: through a pooler by transaction nothing is heard, and only ``tenants_of_open`` tells.
    """

    def __init__(self, pool: Database) -> None:
        """Raises what a connection that fails raises."""
        self._heard: deque[UUID] = deque()
        # Without transactions: two thirds of a question would be BEGIN and COMMIT.
        self._connection = pool.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            cursor = database.cursor(self._connection)
            cursor.connection.add_notify_handler(self._hear)
            cursor.execute(f"LISTEN {_CHANNEL}")
        except BaseException:
            self.drop()
            raise

    @property
    def _pgconn(self) -> Any:
        return database.cursor(self._connection).connection.pgconn

    @property
    def socket(self) -> int:
        """Readable when there is something to hear."""
        socket: int = self._pgconn.socket
        return socket

    def _hear(self, notified: psycopg.Notify) -> None:
        self._heard.append(UUID(notified.payload))

    def heard(self) -> list[UUID]:
        """The jobs that ended since the last call; it waits for nothing. Raises ``psycopg.OperationalError``."""
        self._pgconn.consume_input()
        while (notified := self._pgconn.notifies()) is not None:
            self._heard.append(UUID(notified.extra.decode()))
        ended = list(self._heard)
        self._heard.clear()
        return ended

    def tenants_of_open(self, job_ids: Sequence[UUID]) -> dict[UUID, UUID]:
        """Those of the jobs that have not ended, and whose they are."""
        cursor = database.cursor(self._connection)
        cursor.execute(_OPEN, {"jobs": list(job_ids)})
        return dict(cursor.fetchall())

    def close(self) -> None:
        """Gives the connection back to its pool as it was."""
        cursor = database.cursor(self._connection)
        try:
            cursor.execute(f"UNLISTEN {_CHANNEL}")
            cursor.connection.remove_notify_handler(self._hear)
            self._connection.close()
        except psycopg.Error:
            self.drop()

    def drop(self) -> None:
        """Ends a connection of which one does not know what has become."""
        with suppress(Exception):
            self._connection.invalidate()
        self._connection.close()


_OPEN = "SELECT id, tenant_id FROM jobs WHERE id = ANY(%(jobs)s) AND state = 'open'"
