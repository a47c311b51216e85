"""What a session of the server is set to, and what is sent to it below SQLAlchemy."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import psycopg
from psycopg.rows import BaseRowFactory, tuple_row

from lengthwise.waiting.pulse import WatchedConnection

log = logging.getLogger(__name__)


def begin_session(connection: WatchedConnection, limits: Mapping[str, str]) -> None:
    """Sets the session's limits, outside of any transaction. A pooler may refuse them among the start-up parameters.

    Behind a pooler, limits would reach sessions of others, and a prepared statement would be missing in the next
    session. So nothing is prepared there, and each transaction sets the limits for itself.
    """
    connection.autocommit = True
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    # A pooler makes up the number that it gives its clients, because it has no session for them yet.
    connection.is_pooled = row is not None and row[0] != connection.info.backend_pid
    if connection.is_pooled:
        connection.prepare_threshold = None
        _mention_pooler()
    else:
        connection.session = connection.info.backend_pid
        connection.execute(_LIMITS, {**limits, "in_transaction": False})
    connection.autocommit = False


@cache
def _mention_pooler() -> None:
    log.warning(
        "a connection pooler stands before Postgres: docs/settings.md says what LENGTHWISE_DATABASE_SESSION_URL is for"
    )


def is_pooled(connection: Any) -> bool:
    """Whether each transaction of this connection may have another session of the server."""
    return has_no_session(raw_connection(connection))


def has_no_session(raw: psycopg.Connection[Any]) -> bool:
    """The same of psycopg's connection."""
    return isinstance(raw, WatchedConnection) and raw.is_pooled


def raw_connection(connection: Any) -> psycopg.Connection[Any]:
    """Psycopg's connection below SQLAlchemy's."""
    raw: psycopg.Connection[Any] = connection.connection.driver_connection
    return raw


def limit_transaction(raw: psycopg.Connection[Any], limits: Mapping[str, str]) -> None:
    """Sets the limits of the transaction that has begun, unless its session has them."""
    if has_no_session(raw):
        raw.execute(_LIMITS, {**limits, "in_transaction": True})


_LIMITS = """
SELECT set_config('statement_timeout', %(statement)s, %(in_transaction)s),
       set_config('lock_timeout', %(lock)s, %(in_transaction)s)
"""


@contextmanager
def pipelined(connection: Any) -> Iterator[None]:
    """Sends statements together until a result is read, which saves round trips. COPY cannot be used inside."""
    with raw_connection(connection).pipeline():
        yield


def cursor(connection: Any, *, binary: bool = False, rows: BaseRowFactory[Any] = tuple_row) -> psycopg.Cursor[Any]:
    """A psycopg cursor of the SQLAlchemy connection, in the same transaction. COPY needs one.

    ``binary`` transfers rows in binary form, which is cheaper for many rows or long ones. ``rows`` makes the object of
    each row.
    """
    return raw_connection(connection).cursor(binary=binary, row_factory=rows)


def limit_lock_wait(connection: Any, seconds: float) -> None:
    """Limits the wait for each lock until the transaction ends. A longer wait fails, as ``Unavailable`` in the end."""
    cursor(connection).execute(_SET_LOCK_WAIT, [f"{round(seconds * 1000)}ms"])


@contextmanager
def lock_wait_limited(connection: Any, seconds: float) -> Iterator[None]:
    """The same for the duration of the block. Afterwards the limit is as it was before."""
    found = cursor(connection).execute(_EXCHANGE_LOCK_WAIT, [f"{round(seconds * 1000)}ms"]).fetchone()
    yield
    # After an error this is not reached, and could not run: the end of the transaction gives the limit back.
    cursor(connection).execute(_SET_LOCK_WAIT, [found and found[0]])


_SET_LOCK_WAIT = "SELECT set_config('lock_timeout', %s, true)"
_EXCHANGE_LOCK_WAIT = """
SELECT before, set_config('lock_timeout', %s, true) FROM current_setting('lock_timeout') before
"""
