"""Connections to Postgres, the bells that a commit rings, and what Postgres' errors mean to a caller."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import psycopg
from psycopg.rows import BaseRowFactory, tuple_row
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from lengthwise import settings
from lengthwise.bells import Bell, NotedBells, Ring
from lengthwise.errors import Unavailable

log = logging.getLogger(__name__)

#: SQLSTATE classes and codes after which the same call may succeed: connection, resources, shutdown, deadlock, locks.
#: A read-only server was the primary a moment ago.
_TRANSIENT = ("08", "53", "57P", "40001", "40P01", "55P03", "57014", "25006")
_FULL = ("53100", "53200")
_LOCKED = "55P03"
#: By which our sessions are known among a server's.
APPLICATION = "lengthwise"


class Database:
    """A pool of connections. Each transaction of ``begin`` rings the bells that it noted once it has committed."""

    def __init__(self, engine: Engine, ring: Ring) -> None:
        self.engine = engine
        self._ring = ring

    def connect(self) -> Connection:
        """A connection for reading: the ledger refuses to note a bell on it."""
        return self.engine.connect()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction: committed at the end of the block, rolled back if the block raises."""
        noted = NotedBells()
        with self.engine.begin() as connection:
            noted.attach(connection)
            yield connection
        # The connection is back in its pool: a broker that is away must not keep it.
        for bell in noted.all():
            try:
                self._ring(bell)
            except Exception as error:  # what is committed stays so, whatever is wrong with the broker
                log.warning("the %s bell was not rung; the sweep will ring it: %s", bell.task, type(error).__name__)

    def dispose(self) -> None:
        """Closes the connections that nobody uses."""
        self.engine.dispose()


def unheard(bell: Bell) -> None:
    """Rings nothing: the sweep finds the work. For processes that have no broker."""


def connect(url: str, connections: int = 10, *, pings: bool = True, ring: Ring = unheard) -> Database:
    """A pool of connections; hung servers are noticed in seconds rather than minutes.

    ``pings`` asks each connection whether it lives before it is used, for those whose caller has one try. ``ring``
    rings the bells of its transactions.
    """
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=pings,
        hide_parameters=True,  # no customer's text in an exception's message
        connect_args={
            # A database made without an encoding would otherwise give every text as bytes.
            "client_encoding": "utf8",
            "connect_timeout": 5,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "application_name": APPLICATION,
            "prepare_threshold": 5,
        },
    )
    return Database(engine, ring)


#: Rings the bells of ``engine()``.
_worker_ring: Ring = unheard


def ring_with(ring: Ring) -> None:
    """Has ``ring`` ring the bells of ``engine()`` from here on. A worker process calls this once, as it starts."""
    global _worker_ring
    _worker_ring = ring


@cache
def engine() -> Database:
    """A worker's pool, for the database that the settings name: what fails is tried again anyway."""
    current = settings.get()
    return connect(
        current.require_database_url(),
        current.database_connections,
        pings=False,
        ring=lambda bell: _worker_ring(bell),
    )


def shut(database: Database) -> None:
    """Ends all connections: those in use by a thread that is late, once it gives them back."""

    def end(connection: Any, _: object) -> None:
        if connection is not None:
            connection.close()

    event.listen(database.engine.pool, "checkin", end)
    database.dispose()


def sqlstate(error: DBAPIError) -> str:
    """Postgres' code of this error, empty if it has none."""
    return getattr(error.orig, "sqlstate", None) or ""


def is_transient(error: DBAPIError) -> bool:
    """Whether the same transaction may succeed later. Decided by SQLSTATE: SQLAlchemy's classes lump them together."""
    state = sqlstate(error)
    if state:
        return state.startswith(_TRANSIENT)
    return error.connection_invalidated or isinstance(error, (OperationalError, InterfaceError))


@contextmanager
def translated() -> Iterator[None]:
    """Raises ``Unavailable`` in place of the errors that time heals; lets real mistakes through."""
    try:
        yield
    except PoolTimeout:
        raise Unavailable("every database connection is busy", retry_after=2) from None
    except DBAPIError as error:
        if not is_transient(error):
            raise
        raise _unavailable(sqlstate(error)) from None
    except psycopg.Error as error:  # from COPY, which runs beneath SQLAlchemy
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
    """Statements are sent together, as far as nobody waits for what one says: fewer round trips. No COPY in here."""
    raw: psycopg.Connection[Any] = connection.connection.driver_connection
    with raw.pipeline():
        yield


def cursor(connection: Any, *, binary: bool = False, rows: BaseRowFactory[Any] = tuple_row) -> psycopg.Cursor[Any]:
    """The psycopg cursor beneath a SQLAlchemy connection, in the same transaction (COPY needs it).

    ``binary`` has rows sent so: cheaper to read where there are many, or long ones. ``rows`` is what each becomes.
    """
    raw: psycopg.Connection[Any] = connection.connection.driver_connection
    return raw.cursor(binary=binary, row_factory=rows)


def limit_lock_wait(connection: Any, seconds: float) -> None:
    """From here to the transaction's end, ``Unavailable`` is raised once a lock was waited for so long."""
    cursor(connection).execute("SELECT set_config('lock_timeout', %s, true)", [f"{round(seconds * 1000)}ms"])
