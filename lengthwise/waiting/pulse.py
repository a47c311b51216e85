"""Notices a Postgres that is silent: its processes are stopped, or its packets are lost.

Such a server closes no connection, and its kernel may even acknowledge packets. To a caller who waits for an answer, it
looks like a server that works on a long statement. So while an answer is late, the server is asked on a new connection
for which sessions it works. If it works for this one, the statement may take its time. If it works for others only,
something in between has forgotten this connection. If it does not answer at all, it is away.
"""

import logging
import time
from collections.abc import Callable, Generator, Mapping
from threading import Lock, Thread
from typing import Any, NamedTuple, TypeVar

import psycopg
from psycopg.errors import ConnectionTimeout

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())  # a command without logs says it all in its last line
Answer = TypeVar("Answer")

#: An answer that is later than this is late. Together with the question, a caller waits less than four seconds.
_LATE_SECONDS = 1.5
#: How long the question may take: to connect, and then to answer. libpq allows no shorter time to connect.
_CONNECT_SECONDS, _ANSWER_SECONDS = 2, 1.0
#: An answer to the question counts for this long, for all connections.
_FRESH_SECONDS = 0.5
#: If the server does not work for a session, its answer may be under way for this long.
_UNDER_WAY_SECONDS = 0.5
#: The pause between two questions to a server that is away.
_PAUSE_SECONDS = 0.25
#: How often the same reason for having no connection is logged.
_REPEAT_SECONDS = 60.0
_LONGEST_REASON = 300


class ServerSilent(psycopg.OperationalError):
    """The server, or the way to it, is silent. The connection is closed; its last statement may have been executed."""

    def __init__(self) -> None:
        super().__init__("the database server does not answer")


class SessionReport(NamedTuple):
    """What a server answered to the question."""

    #: Whether it works for each session, by the number of the session's process; None if it did not say.
    works_for: Mapping[int, bool] | None


def one_line(error: psycopg.OperationalError) -> str:
    """Why a connection failed, as libpq says it: with the host, the user and the database, and without the password."""
    return " ".join(str(error).split())[:_LONGEST_REASON]


class Pulse:
    """Whether the server of a pool answers, as far as the pool's connections know.

    While it is away, nobody waits for it: ``check`` raises at once. A thread notices when it is back.
    """

    def __init__(self, on_silence: Callable[[], None]) -> None:
        self._on_silence = on_silence
        self._parameters: Mapping[str, Any] = {}
        self._asking = Lock()
        self._report, self._answered_at = SessionReport(None), -_FRESH_SECONDS
        self._is_away = False
        self._told, self._told_at = "", 0.0

    def connect(self, parameters: Mapping[str, Any], patience: float) -> "WatchedConnection":
        """A connection with these parameters. It waits up to ``patience`` seconds for an answer of a live server."""
        self.check()
        self._parameters = parameters
        try:
            connection = WatchedConnection.connect(**parameters)
        except ConnectionTimeout:
            self._note_silence()
            raise
        except psycopg.OperationalError as error:
            self._tell(one_line(error))
            raise
        connection.watch(patience, self)
        return connection

    def _tell(self, reason: str) -> None:
        """Logs why there is no connection: it may be a wrong password as well as a server that is down."""
        now = time.monotonic()
        if reason != self._told or now - self._told_at >= _REPEAT_SECONDS:
            self._told, self._told_at = reason, now
            log.warning("no connection to the database: %s", reason)

    def check(self) -> None:
        """Raises ``ServerSilent`` while the server is known to be away."""
        if self._is_away:
            raise ServerSilent

    def is_working(self, session: int | None) -> bool:
        """Whether the server works for this session; without its number, whether it answers at all.

        The server is asked, unless that was done just now. One thread asks, and others wait for what it learns.
        """
        with self._asking:
            if self._is_away:
                return False
            if time.monotonic() - self._answered_at >= _FRESH_SECONDS:
                report = _ask(self._parameters)
                if report is None:
                    self._become_away()  # under the lock: the next thread would ask too, and take as long
                    return False
                self._report, self._answered_at = report, time.monotonic()
            return _works_for(self._report, session)

    def note_dead(self) -> None:
        """A connection is dead. If the server is not away, whatever killed it may have killed the idle ones too."""
        if not self._is_away:
            log.warning("a database connection is dead, but the server answers on others")
            self._on_silence()

    def _note_silence(self) -> None:
        with self._asking:
            if not self._is_away:
                self._become_away()

    def _become_away(self) -> None:
        self._is_away = True
        log.warning("the database server does not answer")
        self._on_silence()
        Thread(target=self._await_return, name="pulse", daemon=True).start()

    def _await_return(self) -> None:
        while not _ask(self._parameters):
            time.sleep(_PAUSE_SECONDS)
        self._is_away = False
        log.warning("the database server answers again")


def _works_for(report: SessionReport, session: int | None) -> bool:
    return session is None or report.works_for is None or report.works_for.get(session, False)


def _ask(parameters: Mapping[str, Any]) -> SessionReport | None:
    """None if it is silent. A server that refuses or closes a connection answers: its callers get an error."""
    try:
        with WatchedConnection.connect(**{**parameters, "connect_timeout": _CONNECT_SECONDS}) as connection:
            connection.watch(_ANSWER_SECONDS)
            return SessionReport(dict(connection.execute(_SESSIONS).fetchall()))
    except (ConnectionTimeout, ServerSilent):
        return None
    except psycopg.Error:
        return SessionReport(None)


# A session that waits for its client has not heard the statement whose answer is late, or has sent that answer.
_SESSIONS = """
SELECT pid, coalesce(NOT starts_with(state, 'idle') AND wait_event_type IS DISTINCT FROM 'Client', true)
FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user
"""


class WatchedConnection(psycopg.Connection[Any]):
    """A connection that does not wait for a silent server. It then raises ``ServerSilent``, and is closed."""

    #: Whether a connection pooler stands before the server: each transaction may then have another session of it.
    is_pooled = False
    #: The number of the session's process; None if it is not known.
    session: int | None = None
    #: The pool of connections that it was made for.
    pool: object = None
    _pulse: Pulse | None = None
    _patience: float | None = None

    def watch(self, patience: float, pulse: Pulse | None = None) -> None:
        """From now on waits for at most ``patience`` seconds, and asks ``pulse`` while an answer is late."""
        self._patience, self._pulse = patience, pulse

    def wait(self, gen: Generator[Any, Any, Answer], *args: Any, **named: Any) -> Answer:
        if self._patience is None:
            return super().wait(gen, *args, **named)
        try:
            return super().wait(self._watched(gen, self._patience), *args, **named)
        except ServerSilent:
            self.close()
            raise

    def _watched(self, waiting: Generator[Any, Any, Answer], patience: float) -> Generator[Any, Any, Answer]:
        """The steps of ``waiting``, watched. At each one, psycopg says for what the socket is ready.

        While the socket is ready for nothing, there is a step every tenth of a second.
        """
        heard_at = asked_at = time.monotonic()
        try:
            wanted = next(waiting)
            while True:
                ready = yield wanted
                now = time.monotonic()
                if not ready and now - heard_at > patience:
                    raise ServerSilent
                if not ready and now - asked_at > _LATE_SECONDS and self._pulse is not None:
                    ready = yield from _insist(wanted, self._pulse, self.session)
                    asked_at = time.monotonic()
                if ready:
                    heard_at = asked_at = time.monotonic()
                wanted = waiting.send(ready)
        except StopIteration as end:
            answer: Answer = end.value
            return answer


def _insist(wanted: Any, pulse: Pulse, session: int | None) -> Generator[Any, Any, Any]:
    """Returns for what the socket is ready, possibly nothing, if the server works for the session.

    Otherwise it waits for what may be under way, and raises ``ServerSilent`` if nothing comes.
    """
    if pulse.is_working(session):
        return 0
    until = time.monotonic() + _UNDER_WAY_SECONDS
    while not (ready := (yield wanted)):
        pulse.check()
        if time.monotonic() > until:
            pulse.note_dead()
            raise ServerSilent
    return ready
