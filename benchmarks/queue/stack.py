"""Runs the measured systems as real processes.

All systems share the servers. Only one system runs at a time, so that idle processes of another cost it nothing.
"""

import os
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import redis
from sqlalchemy.engine import make_url

from benchmarks.queue.client import BenchmarkClient
from benchmarks.queue.meter import Meter
from lengthwise import migrate, sealing
from lengthwise.child import Child, Program, stop
from lengthwise.local import program
from lengthwise.local.embedded import Servers

ROOT = Path(__file__).parents[2]
_START_SECONDS = 120.0
_STOP_SECONDS = 40.0


@dataclass(frozen=True)
class BenchmarkServers:
    """The servers, as durable as those of ``lengthwise up``, and a folder for everything else."""

    servers: Servers
    folder: Path
    broker: redis.Redis

    def database(self, name: str) -> str:
        """Returns the URL of the database with this name. Creates the database if it does not exist."""
        url = make_url(self.servers.database_url or "").set(database=name).render_as_string(hide_password=False)
        with psycopg.connect(self.servers.database_url or "", autocommit=True) as connection:
            known = connection.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone()
            if known is None:
                connection.execute(f"CREATE DATABASE {name}".encode())
        return url

    def settle_down(self) -> None:
        """Writes pending data to disk, so that the next system does not pay for it."""
        with psycopg.connect(self.servers.database_url or "", autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    def child(self, started: Program) -> Child:
        return Child(started, self.servers.logs / f"{started.name}.log")


@dataclass(frozen=True)
class BenchmarkStack:
    """A ready system, and the servers that it uses."""

    bench: BenchmarkServers
    port: int
    children: list[Child]
    #: The API key that its callers send, if the system has keys.
    key: str | None = None

    def client(self) -> BenchmarkClient:
        return BenchmarkClient(self.port, self.key)

    def meter(self) -> Meter:
        every = (*self.bench.servers.children, *self.children)
        return Meter({child.name: child.pid for child in every if child.pid}, self.bench.broker)

    @property
    def api_pid(self) -> int:
        return next(child.pid for child in self.children if child.name == "api" and child.pid)


@contextmanager
def bench() -> Iterator[BenchmarkServers]:
    """Starts the servers in a temporary folder."""
    folder = Path(tempfile.mkdtemp(prefix="lw-bench-"))
    folder.chmod(0o711)  # if we are root, PostgreSQL runs as another user, who must enter this folder
    try:
        with Servers(folder / "servers", durable=True) as servers:
            socket_path = (servers.redis_url or "").removeprefix("redis+socket://").partition("?")[0]
            with redis.Redis(unix_socket_path=socket_path) as broker:
                yield BenchmarkServers(servers, folder, broker)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def ours(
    bench: BenchmarkServers, catalog: Path, workers: int = 1, extra: Mapping[str, str] | None = None
) -> Iterator[BenchmarkStack]:
    """Runs lengthwise as ``lengthwise up`` does, with default settings."""
    database_url = bench.database("ours")
    migrate.upgrade(database_url)
    admin_key = secrets.token_hex(32)
    named = {
        "LENGTHWISE_DATABASE_URL": database_url,
        "LENGTHWISE_REDIS_URL": bench.servers.redis_url or "",
        "LENGTHWISE_MODELS": str(catalog),
        "LENGTHWISE_ADMIN_KEY": admin_key,
        "LENGTHWISE_KEY_PEPPER": secrets.token_hex(32),
        "LENGTHWISE_MASTER_KEY": sealing.new_master_key(),
    }
    environment = _environment(**named | dict(extra or {}))
    port = _free_port()
    started = [bench.child(program.worker(program.GENERATE, number, environment)) for number in range(1, workers + 1)]
    started.append(bench.child(program.worker(program.DELIVER, 1, environment)))
    api = bench.child(program.api("127.0.0.1", port, environment))
    with _running([api, *started]):
        _wait(api, program.api_is_ready("127.0.0.1", port))
        for worker in started:
            _wait(worker, program.worker_is_ready(worker))
        yield BenchmarkStack(bench, port, [api, *started], BenchmarkClient(port, admin_key).new_key())


@contextmanager
def baseline(bench: BenchmarkServers, task: str, catalog: Path) -> Iterator[BenchmarkStack]:
    """Runs one of the baselines. ``task`` is the name of the baseline, of its Celery task and of its database."""
    environment = _environment(
        BASELINE_TASK=task,
        BASELINE_DATABASE_URL=bench.database(task),
        BASELINE_REDIS_URL=(bench.servers.redis_url or "").replace("virtual_host=0", "virtual_host=1"),
        BASELINE_MODELS=str(catalog),
    )
    port = _free_port()
    python = [sys.executable, "-P", "-m"]
    arguments = ["benchmarks.queue.baseline.app:app", "--port", str(port), "--no-access-log"]
    api = bench.child(Program("api", [*python, "uvicorn", *arguments], environment))
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING")
    command = [*python, "celery", "-A", "benchmarks.queue.baseline.worker", "worker", "--concurrency", "1", *quiet]
    worker = bench.child(Program("worker", command, environment))
    with _running([api, worker]):
        _wait(api, program.api_is_ready("127.0.0.1", port))
        yield BenchmarkStack(bench, port, [api, worker])


def _environment(**given: str) -> dict[str, str]:
    """Returns this process's environment with these variables. PYTHONPATH is extended, not replaced."""
    paths = (str(ROOT), os.environ.get("PYTHONPATH"), given.get("PYTHONPATH"))
    return {**os.environ, "PYTHONUNBUFFERED": "1", **given, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@contextmanager
def _running(children: list[Child]) -> Iterator[None]:
    try:
        for child in children:
            child.start()
        yield
    finally:
        stop(children, _STOP_SECONDS)


def _wait(child: Child, is_ready: Callable[[], bool]) -> None:
    gives_up_at = time.monotonic() + _START_SECONDS
    while not is_ready():
        if not child.is_running or time.monotonic() > gives_up_at:
            raise RuntimeError(f"{child.name} did not become ready; its last lines:{child.last_lines(20)}")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
