"""One seed's stack: PostgreSQL, Redis behind a proxy, API and workers, all real processes on private ports."""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import redis

from lengthwise import child, migrate
from lengthwise.child import Child, Program
from lengthwise.local import program
from lengthwise.local.embedded import Servers
from tests import caller
from tests.faults import control, engine
from tests.faults.busy import Allowance
from tests.faults.control import Control
from tests.faults.keeper import Keeper
from tests.faults.proxy import Proxy
from tests.faults.receiver import FaultyReceiver
from tests.servers import DATABASE_VARIABLE, MASTER_KEY, REDIS_VARIABLE, free_port, redis_client, wait_until

LEASE_SECONDS = 3.0
GRACE_SECONDS = 3.0
WEBHOOK_SECONDS = 2.0
#: Longer than a zombie is stopped, because the watchdog cannot tell a stopped engine from one that hangs.
HANG_SECONDS = 10.0
#: For the same reason as long as that.
STALL_SECONDS = 8.0
GENERATE = ("generate-1", "generate-2")
DELIVER = ("deliver-1", "deliver-2")
WORKERS = (*GENERATE, *DELIVER)

_SETTINGS = {
    "LEASE_SECONDS": LEASE_SECONDS,
    "HEARTBEAT_SECONDS": LEASE_SECONDS / 3,
    "SWEEP_SECONDS": 0.5,
    "PRESENCE_SECONDS": 0.5,
    "SLICE_SECONDS": 2,
    "CONTINUOUS_BATCH_SECONDS": 2,
    "GRACE_SECONDS": GRACE_SECONDS,
    "HANG_SECONDS": HANG_SECONDS,
    "STALL_SECONDS": STALL_SECONDS,
    "SHARD_ITEMS": engine.ROWS,
    "CLAIM_BATCHES": 2,
    "WEBHOOK_TIMEOUT_SECONDS": WEBHOOK_SECONDS,
    "WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
}
_ROOT = Path(__file__).parents[2]


class FaultStack:
    """Starts every process when entered and stops all when left. Logs and data are in ``folder``."""

    def __init__(self, folder: Path, pace: Mapping[str, float], allowance: Allowance) -> None:
        self._folder = folder
        self._pace = pace
        self.allowance = allowance
        self._exits = ExitStack()
        self._is_ready: dict[str, Callable[[], bool]] = {}
        self.keeper = Keeper()

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            self._start(exits)
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exits.close()

    def _start(self, exits: ExitStack) -> None:
        self._servers = exits.enter_context(Servers(self._folder / "data", durable=False))
        assert self._servers.database_url
        assert self._servers.redis_url
        self.database_url, self.broker_url = self._servers.database_url, self._servers.redis_url
        for server in self._servers.children:
            self.keeper.add(server)
        migrate.upgrade(self.database_url)
        redis_socket = Path(self.broker_url.removeprefix("redis+socket://").partition("?")[0])
        self.proxy = exits.enter_context(Proxy(redis_socket))
        self.receiver = exits.enter_context(FaultyReceiver())
        (self._folder / "control").mkdir()
        self.control = Control(self._folder / "control")
        self._start_product(exits)
        self.wait_ready()
        self.keeper.start()
        exits.callback(self.keeper.stop)

    def _start_product(self, exits: ExitStack) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment = self._environment()
        workers = [
            program.worker(queue, number, environment)
            for queue in (program.GENERATE, program.DELIVER)
            for number in (1, 2)
        ]
        children = [
            Child(_launched(made), self._servers.logs / f"{made.name}.log")
            for made in (program.api("127.0.0.1", port, environment), *workers)
        ]
        exits.callback(lambda: child.stop(children, 0.0))
        for started in children:
            self.keeper.add(started)
            self._is_ready[started.name] = program.worker_is_ready(started)
            started.start()
        self._is_ready["api"] = program.api_is_ready("127.0.0.1", port)

    def _environment(self) -> dict[str, str]:
        engines = self._folder / "engine"
        return {
            **os.environ,
            **{f"LENGTHWISE_{name}": str(value) for name, value in _SETTINGS.items()},
            DATABASE_VARIABLE: self.database_url,
            REDIS_VARIABLE: f"redis://127.0.0.1:{self.proxy.port}/0",
            **caller.VARIABLES,
            "LENGTHWISE_MASTER_KEY": MASTER_KEY,
            "LENGTHWISE_MODELS": str(engine.install(engines, self._pace)),
            "PYTHONPATH": f"{_ROOT}:{engines}",
            control.FOLDER_VARIABLE: str(self._folder / "control"),
        }

    def wait_ready(self, *names: str) -> None:
        """Waits until these processes, or all, run and are ready."""
        for name in names or self._is_ready:
            wait_until(
                lambda name=name: self.keeper.is_running(name) and self._is_ready[name](), 60 * self.allowance.patience
            )

    def restart(self, name: str, **environment: str) -> None:
        """Restarts a process with SIGTERM and waits until it is ready. It keeps these variables for later starts."""
        pid = self.keeper.pid_of(name)
        self.keeper.change(name, environment)
        self.keeper.send(name, signal.SIGTERM)
        wait_until(lambda: self.keeper.has_gone(name, pid), 30 * self.allowance.patience)
        self.wait_ready(name)

    def redis_down(self) -> AbstractContextManager[None]:
        """Kills Redis. When the context is left, Redis is back and empty."""
        return self.keeper.down("redis", signal.SIGKILL, self._answers_ping)

    def postgres_down(self) -> AbstractContextManager[None]:
        """Stops PostgreSQL without a checkpoint. When the context is left, PostgreSQL has recovered."""
        return self.keeper.down("postgres", signal.SIGQUIT, self._answers_sql)

    def _answers_sql(self) -> bool:
        try:
            with psycopg.connect(self.database_url, connect_timeout=5):
                return True
        except psycopg.OperationalError:
            return False

    def _answers_ping(self) -> bool:
        try:
            with self.broker() as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    def broker(self) -> "redis.Redis":
        """Returns a client that bypasses the proxy."""
        return redis_client(self.broker_url)

    def logs(self) -> list[Path]:
        return sorted(self._servers.logs.glob("*.log"))


def _launched(made: Program) -> Program:
    """Returns the same program, started by ``tests.faults.launch``, so that the harness can kill it at a step."""
    python = [sys.executable, "-P", "-m"]
    assert list(made.command[:4]) == [*python, "lengthwise"]
    environment: dict[str, Any] = {**(made.environment or {}), control.NAME_VARIABLE: made.name}
    command = [*python, "tests.faults.launch", *made.command[4:]]
    return replace(made, command=command, environment=environment)
