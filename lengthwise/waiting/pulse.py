"""Notices a Postgres that is silent: its processes are stopped, or its packets are lost.

Such a server closes no connection, and its kernel may even acknowledge packets. To a caller who waits for an answer, it
looks like a server that works on a long statement. So while an answer is late, the server is asked a cheap question on
a new connection. If it answers that one, the statement may take its time. Otherwise the server is away.
"""

import logging
import time
from collections.abc import Callable, Generator, Mapping
from threading import Lock, Thread
from typing import Any, TypeVar

import psycopg
from psycopg.errors import ConnectionTimeout

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

#: An answer that is later than this is late. Together with the question, a caller waits less than four seconds.
_LATE_SECONDS = 1.5
#: How long the question may take: to connect, and then to answer. libpq allows no shorter time to connect.
_CONNECT_SECONDS, _ANSWER_SECONDS = 2, 1.0
#: An answer to the question counts for this long, for all connections.
_FRESH_SECONDS = 0.5
#: The pause between two questions to a server that is away.
_PAUSE_SECONDS = 0.25


class ServerSilent(psycopg.OperationalError):
    """The server is silent, and the connection is closed. Its last statement may have been executed or not."""

    def __init__(self) -> None:
        super().__init__("the database server does not answer")


class Pulse:
    """Whether the server of a pool answers, as far as the pool's connections know.

    While it is away, nobody waits for it: ``check`` raises at once. A thread notices when it is back.
    """

    def __init__(self, on_silence: Callable[[], None]) -> None:
        self._on_silence = on_silence
        self._parameters: Mapping[str, Any] = {}
        self._asking = Lock()
        self._answered_at = -_FRESH_SECONDS
        self._is_away = False

    def connect(self, parameters: Mapping[str, Any], patience: float) -> "WatchedConnection":
        """A connection with these parameters. It waits up to ``patience`` seconds for an answer of a live server."""
        self.check()
        self._parameters = parameters
        try:
            connection = WatchedConnection.connect(**parameters)
        except ConnectionTimeout:
            self._note_silence()
            raise
        connection.watch(self.is_answering, patience)
        return connection

    def check(self) -> None:
        """Raises ``ServerSilent`` while the server is known to be away."""
        if self._is_away:
            raise ServerSilent

    def is_answering(self) -> bool:
        """Asks the server, unless that was done just now. One thread asks, and others wait for what it learns."""
        with self._asking:
            if self._is_away:
                return False
            if time.monotonic() - self._answered_at < _FRESH_SECONDS:
                return True
            if _answers(self._parameters):
                self._answered_at = time.monotonic()
                return True
        self._note_silence()
        return False

    def _note_silence(self) -> None:
        with self._asking:
            if self._is_away:
                return
            self._is_away = True
        log.warning("the database server does not answer")
        self._on_silence()
        Thread(target=self._await_return, name="pulse", daemon=True).start()

    def _await_return(self) -> None:
        while not _answers(self._parameters):
            time.sleep(_PAUSE_SECONDS)
        self._is_away = False
        log.warning("the database server answers again")


def _answers(parameters: Mapping[str, Any]) -> bool:
    """Whether the server answers at all. One that refuses or closes a connection answers: its callers get an error."""
    try:
        with WatchedConnection.connect(**{**parameters, "connect_timeout": _CONNECT_SECONDS}) as connection:
            connection.watch(lambda: True, _ANSWER_SECONDS)
            connection.execute("SELECT 1")
    except (ConnectionTimeout, ServerSilent):
        return False
    except psycopg.Error:
        return True
    return True


class WatchedConnection(psycopg.Connection[Any]):
    """A connection that does not wait for a silent server. It then raises ``ServerSilent``, and is closed."""

    #: Whether a connection pooler stands before the server: each transaction may then have another session of it.
    is_pooled = False
    #: The pool of connections that it was made for.
    pool: object = None
    _is_answering: Callable[[], bool] | None = None
    _patience = 0.0

    def watch(self, is_answering: Callable[[], bool], patience: float) -> None:
        """From now on, asks ``is_answering`` while an answer is late, and waits ``patience`` seconds in any case."""
        self._is_answering, self._patience = is_answering, patience

    def wait(self, gen: Generator[Any, Any, Answer], *args: Any, **named: Any) -> Answer:
        if self._is_answering is None:
            return super().wait(gen, *args, **named)
        try:
            return super().wait(_watched(gen, self._is_answering, self._patience), *args, **named)
        except ServerSilent:
            self.close()
            raise


def _watched(
    waiting: Generator[Any, Any, Answer], is_answering: Callable[[], bool], patience: float
) -> Generator[Any, Any, Answer]:
    """The steps of ``waiting``, watched. At each one, psycopg says for what the socket is ready.

    While the socket is ready for nothing, there is a step every tenth of a second.
    """
    heard_at = asked_at = time.monotonic()
    try:
        wanted = next(waiting)
        while True:
            ready = yield wanted
            now = time.monotonic()
            if ready:
                heard_at = asked_at = now
            elif now - heard_at > patience:
                raise ServerSilent
            elif now - asked_at > _LATE_SECONDS:
                is_alive = is_answering()
                asked_at = time.monotonic()
                if not is_alive and not (ready := (yield wanted)):  # it may have answered meanwhile
                    raise ServerSilent
            wanted = waiting.send(ready)
    except StopIteration as end:
        answer: Answer = end.value
        return answer
