"""Shows that a process lives while it computes in the middle of a transaction, so that the sweep does not end it.

The sweep ends a session that waits for its client for half a lease (``lengthwise.ledger.queue.sweep``). The statement
comes from the thread that computes. So if that thread or its process is frozen, no statement comes.
"""

import time

from sqlalchemy import Connection

from lengthwise import database

#: The longest pause between two signs, and its share of a lease. Half a lease without a sign ends the session.
_PAUSE_SECONDS = 1.0
_LEASE_SHARE = 0.1


class SignOfLife:
    """The signs of one transaction. Call ``show`` between any two steps of a long computation."""

    def __init__(self, connection: Connection, lease_seconds: float) -> None:
        self._connection = connection
        self._pause = min(_PAUSE_SECONDS, _LEASE_SHARE * lease_seconds)
        self._shown_at = time.monotonic()

    def show(self) -> None:
        """Runs a statement if the last one of this object is a while ago. Not in the middle of a COPY."""
        if time.monotonic() - self._shown_at >= self._pause:
            database.cursor(self._connection).execute("SELECT")
            self._shown_at = time.monotonic()
