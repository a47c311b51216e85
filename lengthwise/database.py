"""Connections to Postgres, and what Postgres' errors mean to a caller."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import psycopg
from psycopg.rows import BaseRowFactory, tuple_row
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from lengthwise import settings
from lengthwise.errors import Unavailable

#: SQLSTATE classes and codes after which the same call may succeed later: lost connections, missing resources,
#: shutdown, deadlocks, lock time-outs. 25006 (read-only) is among them: the server was the primary a moment ago.
_TRANSIENT = ("08", "53", "57P", "40001", "40P01", "55P03", "57014", "25006")
_FULL = ("53100", "53200")
_LOCKED = "55P03"
#: The name by which a server's sessions are recognised as ours.
APPLICATION = "lengthwise"


def connect(url: str, connections: int = 10, *, pings: bool = True) -> Engine:
    """A pool of connections. Notices a server that hangs within seconds rather than minutes.

    ``pings`` tests each connection before it is used, for callers that cannot try again.
    """
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=pings,
        hide_parameters=True,  # so that no customer's text is in an error message
        connect_args={
            # A database that was created without an encoding would otherwise return every text as bytes.
            "client_encoding": "utf8",
            "connect_timeout": 5,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "application_name": APPLICATION,
            "prepare_threshold": 5,
        },
    )


@cache
def engine() -> Engine:
    """A worker's pool for the database of the settings. It does not ping, because a worker tries again anyway."""
    current = settings.get()
    return connect(current.require_database_url(), current.database_connections, pings=False)


def shut(engine: Engine) -> None:
    """Closes all connections. A connection that a thread still uses is closed once the thread returns it."""

    def end(connection: Any, _: object) -> None:
        if connection is not None:
            connection.close()

    event.listen(engine.pool, "checkin", end)
    engine.dispose()


def sqlstate(error: DBAPIError) -> str:
    """The error's SQLSTATE code; empty if it has none."""
    return getattr(error.orig, "sqlstate", None) or ""


def is_transient(error: DBAPIError) -> bool:
    """Whether the same transaction may succeed later. SQLSTATE decides: SQLAlchemy's classes are too coarse."""
    state = sqlstate(error)
    if state:
        return state.startswith(_TRANSIENT)
    return error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError))


@contextmanager
def translated() -> Iterator[None]:
    """Raises ``Unavailable`` instead of errors that may pass with time. Lets all other errors through."""
    try:
        yield
    except PoolTimeout:
        raise Unavailable("every database connection is busy", retry_after=2) from None
    except DBAPIError as error:
        if not is_transient(error):
            raise
        raise _unavailable(sqlstate(error)) from None
    except psycopg.Error as error:  # from COPY, which bypasses SQLAlchemy
        is_connection = isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
        state = error.sqlstate or ("08" if is_connection else "")
        if not state.startswith(_TRANSIENT):
            raise
        raise _unavailable(state) from None


def _unavailable(state: str) -> Unavailable:
    if state.startswith(_FULL):
        return Unavailable("the database is full", retry_after=60, full=True)
    return Unavailable("a lock is held for long" if state == _LOCKED else "the database is away")


@contextmanager
def pipelined(connection: Any) -> Iterator[None]:
    """Sends statements together until a result is read, which saves round trips. COPY cannot be used inside."""
    raw: psycopg.Connection[Any] = connection.connection.driver_connection
    with raw.pipeline():
        yield


def cursor(connection: Any, *, binary: bool = False, rows: BaseRowFactory[Any] = tuple_row) -> psycopg.Cursor[Any]:
    """A psycopg cursor of the SQLAlchemy connection, in the same transaction. COPY needs one.

    ``binary`` transfers rows in binary form, which is cheaper for many rows or long ones. ``rows`` makes the object of
    each row.
    """
    raw: psycopg.Connection[Any] = connection.connection.driver_connection
    return raw.cursor(binary=binary, row_factory=rows)


def limit_lock_wait(connection: Any, seconds: float) -> None:
    """Limits the wait for each lock until the transaction ends. A longer wait fails, as ``Unavailable`` in the end."""
    cursor(connection).execute("SELECT set_config('lock_timeout', %s, true)", [f"{round(seconds * 1000)}ms"])
