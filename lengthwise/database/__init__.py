"""Connections to Postgres, the bells that a commit rings, and what Postgres' errors mean to a caller."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg as Dialect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from lengthwise import settings
from lengthwise.bells import Bell, NotedBells, Ring
from lengthwise.database.failures import is_transient, sqlstate, translated
from lengthwise.database.session import (
    begin_session,
    cursor,
    has_no_session,
    is_pooled,
    limit_lock_wait,
    limit_transaction,
    lock_wait_limited,
    pipelined,
    raw_connection,
)
from lengthwise.errors import ConfigurationError
from lengthwise.waiting.pulse import Pulse, WatchedConnection
from lengthwise.waiting.turnstile import Turnstile

__all__ = [
    "APPLICATION",
    "Database",
    "connect",
    "cursor",
    "engine",
    "forget",
    "is_pooled",
    "is_transient",
    "limit_lock_wait",
    "lock_wait_limited",
    "pipelined",
    "ring_with",
    "shut",
    "sqlstate",
    "translated",
]

log = logging.getLogger(__name__)

#: A connection waits this much longer for the end of a statement than the server lets the statement run.
_MARGIN_SECONDS = 5.0
#: The name by which a server's sessions are recognised as ours.
APPLICATION = "lengthwise"


class Database:
    """A pool of connections. Each transaction of ``begin`` rings the bells that it noted once it has committed."""

    def __init__(
        self, engine: Engine, ring: Ring, pulse: Pulse, turnstile: Turnstile, limits: Mapping[str, str]
    ) -> None:
        self.engine = engine
        self._ring, self._pulse, self._turnstile, self._limits = ring, pulse, turnstile, limits

    def connect(self) -> Connection:
        """A connection for reading. The ledger refuses to note a bell on it."""
        self._pulse.check()
        connection = self.engine.connect()
        if is_pooled(connection):
            try:
                connection.begin()  # sets the limits
            except BaseException:
                connection.close()
                raise
        return connection

    @contextmanager
    def asking(self) -> Iterator[Connection]:
        """A connection for a single statement, outside of a transaction, which takes one round trip.

        Behind a pooler it has a transaction all the same, which sets its limits.
        """
        self._pulse.check()
        with self.engine.connect() as connection:
            if is_pooled(connection):
                with connection.begin():
                    yield connection
            else:
                yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def begin(self, *, pipelined: bool = False) -> Iterator[Connection]:
        """A transaction: committed at the end of the block, rolled back if the block raises.

        With ``pipelined``, statements are sent together until a result is read: BEGIN with the first ones, and COMMIT
        with the last ones, whose results can be read after the block. COPY cannot be used inside.
        Raises ``Unavailable`` if no connection becomes free, and ``ServerSilent``, which ``translated`` translates.
        """
        noted = NotedBells()
        self._pulse.check()
        with self._turnstile.passed(), self._pipeline() if pipelined else self.engine.begin() as connection:
            noted.attach(connection)
            yield connection
        # The connection is back in its pool: a broker that is away must not keep it.
        for bell in noted.all():
            try:
                self._ring(bell)
            except Exception as error:  # what is committed stays so, whatever is wrong with the broker
                log.warning("the %s bell was not rung; the sweep will ring it: %s", bell.task, type(error).__name__)

    @contextmanager
    def _pipeline(self) -> Iterator[Connection]:
        """psycopg would wait for the answer to a BEGIN of its own, so it is told that there is no transaction."""
        with self.engine.connect() as connection:
            raw = raw_connection(connection.execution_options(isolation_level="AUTOCOMMIT"))
            try:
                with raw.pipeline():
                    raw.execute("BEGIN", prepare=False)
                    limit_transaction(raw, self._limits)
                    yield connection
                    raw.execute("COMMIT", prepare=False)
            except BaseException:
                if not raw.closed:
                    raw.rollback()
                raise

    def dispose(self) -> None:
        """Closes the idle connections."""
        self.engine.dispose()


def ring_nothing(bell: Bell) -> None:
    """Rings nothing: the sweep finds the work. For processes that have no broker."""


def _parsed(url: str) -> URL:
    """The URL in its parts. Raises ``ConfigurationError``, which never shows it: it holds a password."""
    try:
        parsed = make_url(url)
        _, options = Dialect().create_connect_args(parsed)  # type: ignore[no-untyped-call]
        make_conninfo("", **options)
    except (ArgumentError, psycopg.ProgrammingError, ValueError, TypeError):
        raise ConfigurationError(
            "the database's URL has a wrong form, or options that Postgres does not know: "
            "it must be one such as postgresql://user:password@host/lengthwise"
        ) from None
    return parsed


def connect(
    url: str,
    connections: int = 10,
    *,
    pings: bool = True,
    ring: Ring = ring_nothing,
    pool_seconds: float = 10,
    statement_seconds: float = 300,
    lock_seconds: float = 3,
) -> Database:
    """A pool of connections. Notices a server that is silent within seconds rather than minutes.

    ``pings`` tests each connection before it is used, for callers that cannot try again. ``ring`` rings the bells of
    the pool's transactions. Three limits hold for whoever does not set others: how long to wait for a free connection,
    how long a statement may run, and how long it may wait for each lock.
    """
    engine = create_engine(
        _parsed(url).set(drivername="postgresql+psycopg"),
        pool_size=connections,
        max_overflow=0,
        pool_timeout=pool_seconds,
        pool_pre_ping=pings,
        hide_parameters=True,  # so that no customer's text is in an error message
        connect_args={
            # A database that was created without an encoding would otherwise return every text as bytes.
            "client_encoding": "utf8",
            "connect_timeout": 3,
            "keepalives_idle": 2,
            "keepalives_interval": 1,
            "keepalives_count": 3,
            "tcp_user_timeout": 5000,
            "application_name": APPLICATION,
            "prepare_threshold": 5,
        },
    )

    def renew() -> None:
        """Replaces the pool, and closes its idle connections. Those in use are closed as they are returned."""
        pool = engine.pool
        engine.dispose(close=False)  # first: what is returned while the idle ones are closed is then closed too
        pool.dispose()

    pulse = Pulse(on_silence=renew)
    limits = {"statement": f"{round(statement_seconds * 1000)}ms", "lock": f"{round(lock_seconds * 1000)}ms"}

    def opened(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> WatchedConnection:
        pool = engine.pool  # it may be replaced while this connects
        connection = pulse.connect(parameters, statement_seconds + _MARGIN_SECONDS)
        try:
            begin_session(connection, limits)
        except BaseException:
            connection.close()
            raise
        connection.pool = pool
        return connection

    def returned(connection: WatchedConnection | None, _record: Any) -> None:
        if connection is not None and connection.pool is not engine.pool:
            connection.close()  # the pool was disposed meanwhile, and nobody would use or close it any more

    def begun(connection: Connection) -> None:
        raw = raw_connection(connection)
        if has_no_session(raw) and not raw.autocommit:
            with raw.pipeline():  # takes no more round trips than BEGIN
                limit_transaction(raw, limits)

    event.listen(engine, "do_connect", opened)
    event.listen(engine, "checkin", returned)
    event.listen(engine, "begin", begun)
    return Database(engine, ring, pulse, Turnstile(connections, pool_seconds), limits)


#: Rings the bells of ``engine()``.
_worker_ring: Ring = ring_nothing


def ring_with(ring: Ring) -> None:
    """Has ``ring`` ring the bells of ``engine()`` from here on. A worker process calls this once, as it starts."""
    global _worker_ring
    _worker_ring = ring


#: The pool of ``engine()``. Of threads that ask first at the same time, each makes one, and ``setdefault`` keeps one:
#: the others have no connections yet. A lock could be held while the process forks.
_pools: dict[str, Database] = {}


def engine() -> Database:
    """A worker's pool for the database of the settings. It does not ping, because a worker tries again anyway."""
    return _pools.get("worker") or _pools.setdefault("worker", _worker_pool())


def forget() -> None:
    """Lets ``engine()`` make a new pool by the settings as they are then. It closes nothing."""
    _pools.clear()


def _worker_pool() -> Database:
    current = settings.get()
    return connect(
        current.require_database_url(),
        current.database_connections,
        pings=False,
        statement_seconds=current.database_statement_seconds,
        lock_seconds=current.database_lock_seconds,
        ring=lambda bell: _worker_ring(bell),
    )


def shut(database: Database) -> None:
    """Closes all connections. A connection that a thread still uses is closed once the thread returns it."""

    def end(connection: Any, _: object) -> None:
        if connection is not None:
            connection.close()

    event.listen(database.engine.pool, "checkin", end)
    database.dispose()
