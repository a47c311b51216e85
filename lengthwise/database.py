"""Connections to Postgres, the bells that a commit rings, and what Postgres' errors mean to a caller."""

import logging
from collections.abc import Iterator, Mapping
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
from lengthwise.waiting.pulse import Pulse, WatchedConnection
from lengthwise.waiting.turnstile import Turnstile

log = logging.getLogger(__name__)

#: SQLSTATE classes and codes after which the same call may succeed later: lost connections, missing resources,
#: shutdown, deadlocks, lock time-outs. 25006 (read-only) is among them: the server was the primary a moment ago.
_TRANSIENT = ("08", "53", "57P", "40001", "40P01", "55P03", "57014", "25006")
_FULL = ("53100", "53200")
_LOCKED = "55P03"
_TOO_LONG = "57014"
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
            raw = _raw(connection.execution_options(isolation_level="AUTOCOMMIT"))
            try:
                with raw.pipeline():
                    raw.execute("BEGIN", prepare=False)
                    if _has_no_session(raw):
                        raw.execute(_LIMITS, {**self._limits, "in_transaction": True})
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
        make_url(url).set(drivername="postgresql+psycopg"),
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
    pulse = Pulse(on_silence=engine.dispose)
    limits = {"statement": f"{round(statement_seconds * 1000)}ms", "lock": f"{round(lock_seconds * 1000)}ms"}

    def opened(_dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> WatchedConnection:
        connection = pulse.connect(parameters, statement_seconds + _MARGIN_SECONDS)
        try:
            _begin_session(connection, limits)
        except BaseException:
            connection.close()
            raise
        connection.pool = engine.pool
        return connection

    def returned(connection: WatchedConnection | None, _record: Any) -> None:
        if connection is not None and connection.pool is not engine.pool:
            connection.close()  # the pool was disposed meanwhile, and nobody would use or close it any more

    def begun(connection: Connection) -> None:
        raw = _raw(connection)
        if _has_no_session(raw) and not raw.autocommit:
            with raw.pipeline():  # takes no more round trips than BEGIN
                raw.execute(_LIMITS, {**limits, "in_transaction": True})

    event.listen(engine, "do_connect", opened)
    event.listen(engine, "checkin", returned)
    event.listen(engine, "begin", begun)
    return Database(engine, ring, pulse, Turnstile(connections, pool_seconds), limits)


def _begin_session(connection: WatchedConnection, limits: Mapping[str, str]) -> None:
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
        connection.execute(_LIMITS, {**limits, "in_transaction": False})
    connection.autocommit = False


@cache
def _mention_pooler() -> None:
    log.warning(
        "a connection pooler stands before Postgres: docs/settings.md says what LENGTHWISE_DATABASE_SESSION_URL is for"
    )


def is_pooled(connection: Any) -> bool:
    """Whether each transaction of this connection may have another session of the server."""
    return _has_no_session(_raw(connection))


def _has_no_session(raw: psycopg.Connection[Any]) -> bool:
    return isinstance(raw, WatchedConnection) and raw.is_pooled


def _raw(connection: Any) -> psycopg.Connection[Any]:
    raw: psycopg.Connection[Any] = connection.connection.driver_connection
    return raw


_LIMITS = """
SELECT set_config('statement_timeout', %(statement)s, %(in_transaction)s),
       set_config('lock_timeout', %(lock)s, %(in_transaction)s)
"""


#: Rings the bells of ``engine()``.
_worker_ring: Ring = ring_nothing


def ring_with(ring: Ring) -> None:
    """Has ``ring`` ring the bells of ``engine()`` from here on. A worker process calls this once, as it starts."""
    global _worker_ring
    _worker_ring = ring


@cache
def engine() -> Database:
    """A worker's pool for the database of the settings. It does not ping, because a worker tries again anyway."""
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
    reason = {_LOCKED: "a lock is held for long", _TOO_LONG: "the database takes too long"}
    return Unavailable(reason.get(state, "the database is away"))


@contextmanager
def pipelined(connection: Any) -> Iterator[None]:
    """Sends statements together until a result is read, which saves round trips. COPY cannot be used inside."""
    with _raw(connection).pipeline():
        yield


def cursor(connection: Any, *, binary: bool = False, rows: BaseRowFactory[Any] = tuple_row) -> psycopg.Cursor[Any]:
    """A psycopg cursor of the SQLAlchemy connection, in the same transaction. COPY needs one.

    ``binary`` transfers rows in binary form, which is cheaper for many rows or long ones. ``rows`` makes the object of
    each row.
    """
    return _raw(connection).cursor(binary=binary, row_factory=rows)


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
