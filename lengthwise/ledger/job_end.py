"""Notifies listeners when a job ends. Postgres sends the notification as the transaction commits.

A listener that started later asks which of its jobs are still open.
"""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

import psycopg

from lengthwise import database
from lengthwise.database import Database

_CHANNEL = "lengthwise_endings"

#: Part of the RETURNING clause of every statement that ends jobs.
NOTIFY = f"pg_notify('{_CHANNEL}', id::text)"
#: The seconds between the end of a job and its deadline, for RETURNING too. NULL if it has none.
MARGIN = "extract(epoch FROM deadline_at - finished_at)::float8"


class JobEndListener:
    """A connection that receives a notification of every job's end. One thread at a time may use it.

    It needs a session of its own: behind a pooler it receives nothing, and only ``tenants_of_open`` works.
    """

    def __init__(self, pool: Database) -> None:
        """Connects. Raises SQLAlchemy's and psycopg's errors of a connection that fails."""
        self._heard: deque[UUID] = deque()
        # Autocommit: otherwise two of three statements of each query would be BEGIN and COMMIT.
        self._connection = pool.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            cursor = database.cursor(self._connection)
            cursor.connection.add_notify_handler(self._on_notify)
            self._is_pooled = database.is_pooled(self._connection)
            if not self._is_pooled:  # LISTEN would last in a session that others use next
                cursor.execute(f"LISTEN {_CHANNEL}")
        except BaseException:
            self.drop()
            raise

    @property
    def _pgconn(self) -> Any:
        return database.cursor(self._connection).connection.pgconn

    @property
    def socket(self) -> int:
        """The connection's file descriptor. It is readable when there is a notification."""
        socket: int = self._pgconn.socket
        return socket

    def _on_notify(self, notified: psycopg.Notify) -> None:
        self._heard.append(UUID(notified.payload))

    def take_ended(self) -> list[UUID]:
        """The jobs that ended since the last call. Does not wait. Raises ``psycopg.OperationalError``."""
        self._pgconn.consume_input()
        while (notified := self._pgconn.notifies()) is not None:
            self._heard.append(UUID(notified.extra.decode()))
        ended = list(self._heard)
        self._heard.clear()
        return ended

    def tenants_of_open(self, job_ids: Sequence[UUID]) -> dict[UUID, UUID]:
        """Those of the jobs that have not ended, each with its tenant."""
        cursor = database.cursor(self._connection)
        cursor.execute(_OPEN, {"jobs": list(job_ids)})
        return dict(cursor.fetchall())

    def close(self) -> None:
        """Stops listening, and returns the connection to its pool."""
        cursor = database.cursor(self._connection)
        try:
            if not self._is_pooled:
                cursor.execute(f"UNLISTEN {_CHANNEL}")
            cursor.connection.remove_notify_handler(self._on_notify)
            self._connection.close()
        except psycopg.Error:
            self.drop()

    def drop(self) -> None:
        """Closes the connection for good, in whatever state it is."""
        with suppress(Exception):
            self._connection.invalidate()
        self._connection.close()


_OPEN = "SELECT id, tenant_id FROM jobs WHERE id = ANY(%(jobs)s) AND state = 'open'"
