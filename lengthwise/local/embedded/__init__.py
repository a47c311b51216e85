"""The servers that ``lengthwise up`` starts: PostgreSQL and Redis. They listen on unix sockets only."""

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from lengthwise import child
from lengthwise.child import Child, Pause
from lengthwise.local.embedded import account, postgres, redis
from lengthwise.local.embedded.folder import Folder

STOP_SECONDS = 30.0


def _silent(line: str) -> None:
    """Drops the message."""


class Servers:
    """PostgreSQL and Redis, with data and logs in the folder ``data``. A server whose URL is given is not started.

    PostgreSQL's data survives a stop of any kind. One process at a time may use a folder. ``durable`` false skips
    fsync, for tests. ``say`` gets messages for the operator. ``pause`` is called between two checks of a server that is
    not ready yet, and may raise.
    """

    def __init__(
        self,
        data: Path,
        *,
        database_url: str | None = None,
        redis_url: str | None = None,
        durable: bool = True,
        say: Callable[[str], None] = _silent,
        pause: Pause = time.sleep,
    ) -> None:
        self.database_url = database_url
        self.redis_url = redis_url
        #: The servers that were started, for a supervisor to watch.
        self.children: list[Child] = []
        self._folder = Folder(data, pause)
        self._durable, self._say, self._pause = durable, say, pause

    @property
    def data(self) -> Path:
        return self._folder.path

    @property
    def logs(self) -> Path:
        return self._folder.logs

    def start(self) -> tuple[str, str]:
        """Starts what is needed. Returns the URLs of the database and the broker, which are ready then.

        Raises ``ConfigurationError`` if the folder is in use or a server cannot run. Then no server is left running.
        """
        try:
            self._folder.open()
            self.database_url = self.database_url or self._start_postgres()
            self.redis_url = self.redis_url or self._start_redis()
        except BaseException:
            self.stop()
            raise
        return self.database_url, self.redis_url

    def _start_postgres(self) -> str:
        held = self._folder.lock_postgres()
        wanted = self.data / "postgres"
        user = account.choose(wanted, self._say)
        cluster = postgres.Cluster(
            data=account.place_data(user, wanted, self._say),
            programs=postgres.programs(user),
            sockets=self._folder.sockets(user),
            account=user,
            durable=self._durable,
        )
        cluster.initialise(held)
        cluster.forget_reused_pid()
        cluster.wait_ready(self._run(cluster.program(held)), self._pause, self._say)
        return postgres.url(cluster.sockets)

    def _start_redis(self) -> str:
        sockets = self._folder.sockets(None)
        redis.wait_ready(self._run(redis.program(sockets)), sockets, self._pause)
        return redis.url(sockets)

    def _run(self, program: child.Program) -> Child:
        started = Child(program, self.logs / f"{program.name}.log")
        self.children.append(started)
        started.start()
        return started

    def stop(self) -> None:
        """Stops the servers that were started, and returns when they have ended. A second call does nothing."""
        child.stop(self.children, STOP_SECONDS)
        self._folder.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
