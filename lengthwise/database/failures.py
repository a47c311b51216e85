"""What Postgres' errors mean to a caller."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from lengthwise.errors import DatabaseUnavailable

#: SQLSTATE classes and codes after which the same call may succeed later: lost connections, missing resources,
#: shutdown, deadlocks, lock time-outs. 25006 (read-only) is among them: the server was the primary a moment ago.
_TRANSIENT = ("08", "53", "57P", "40001", "40P01", "55P03", "57014", "25006")
_FULL = ("53100", "53200")
_AWAY = ("08", "57P")
_LOCKED = "55P03"
_TOO_LONG = "57014"


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
    """Raises ``DatabaseUnavailable`` instead of errors that may pass with time. Lets all other errors through."""
    try:
        yield
    except PoolTimeout:
        raise DatabaseUnavailable("every database connection is busy", retry_after=2) from None
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


def _unavailable(state: str) -> DatabaseUnavailable:
    if state.startswith(_FULL):
        return DatabaseUnavailable("the database is full", retry_after=60, full=True)
    reason = {_LOCKED: "a lock is held for long", _TOO_LONG: "the database takes too long"}
    return DatabaseUnavailable(reason.get(state, "the database is away"), is_away=state.startswith(_AWAY) or not state)
