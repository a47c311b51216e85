"""Real servers for the suite: embedded ones, or those that the environment names. Each run has its own database."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import redis
from sqlalchemy.engine import make_url

from lengthwise import migrate
from lengthwise.child import tied_to_this_process
from lengthwise.local.embedded import Servers
from tests.caller import ADMIN_VARIABLE, PEPPER_VARIABLE
from tests.databases import Databases, administer, drop, new_name, with_database

DATABASE_VARIABLE = "LENGTHWISE_DATABASE_URL"
REDIS_VARIABLE = "LENGTHWISE_REDIS_URL"
#: The master key with which tests seal secrets.
MASTER_KEY = "dGVzdHMgc2VhbCB0aGVpciBzZWNyZXRzIHVuZGVyIG0="

#: The variables that ``lengthwise up`` sets by itself if they are missing.
OF_AN_INSTALLATION = (DATABASE_VARIABLE, REDIS_VARIABLE, ADMIN_VARIABLE, PEPPER_VARIABLE)


@dataclass(frozen=True)
class Urls:
    """The databases that tests may use, and a Redis database that they may flush."""

    databases: Databases
    redis: str

    def fresh_database(self) -> AbstractContextManager[str]:
        """Gives the URL of a migrated, empty database."""
        return self.databases.lent()

    def bare_database(self) -> AbstractContextManager[str]:
        """Gives the URL of an empty database without our tables."""
        return self.databases.bare()


@contextmanager
def running() -> Iterator[Urls]:
    """Starts the servers for one run of the suite, or for one of its processes under pytest-xdist."""
    with reachable_folder() as folder:
        servers = Servers(
            folder / "servers",
            database_url=os.environ.get(DATABASE_VARIABLE),
            redis_url=os.environ.get(REDIS_VARIABLE),
            durable=False,
        )
        with servers:
            assert servers.database_url
            assert servers.redis_url
            shared_redis = os.environ.get(REDIS_VARIABLE) is not None
            redis_url = _unused_database(servers.redis_url) if shared_redis else servers.redis_url
            with _databases(servers.database_url) as databases:
                yield Urls(databases, redis_url)


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """Yields a temporary folder that other users may enter.

    If we are root, PostgreSQL runs as another user, who may not enter pytest's own folders.
    """
    folder = Path(tempfile.mkdtemp(prefix="lw-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def _databases(server_url: str) -> Iterator[Databases]:
    template = with_database(server_url, new_name())
    administer(template, f"CREATE DATABASE {make_url(template).database}")
    databases = Databases(template)
    try:
        migrate.upgrade(template)
        yield databases
    finally:
        databases.drop_spare()
        drop(template)


def redis_client(url: str) -> redis.Redis:
    """Returns a client for a redis:// URL or for kombu's redis+socket:// URL."""
    if not url.startswith("redis+socket"):
        return redis.Redis.from_url(url)
    parts = urlsplit(url)
    number = parse_qs(parts.query).get("virtual_host", ["0"])[0]
    return redis.Redis(unix_socket_path=parts.path, db=int(number))


def _unused_database(url: str) -> str:
    """``url`` with the number of a database that holds nothing.

    Under pytest-xdist every process looks at numbers of its own, so that no two of them choose the same one.
    """
    base = urlsplit(url)
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    n_processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    for number in range(15 - process, 0, -n_processes):
        candidate = base._replace(path=f"/{number}").geturl()
        with redis_client(candidate) as client:
            if client.dbsize() == 0:
                return candidate
    raise RuntimeError(f"{REDIS_VARIABLE}: none of the databases 1 to 15 is empty")


class Up:
    """Runs ``lengthwise up`` on the folder ``data`` and a free port.

    The files ``said`` and ``progress`` have its standard output and standard error.
    """

    def __init__(self, data: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.data = data
        self.said = data.with_name(f"{data.name}.stdout")
        self.progress = data.with_name(f"{data.name}.stderr")
        tie = tied_to_this_process(signal.SIGTERM)  # if pytest is killed, it ends too
        command = [*tie, sys.executable, "-P", "-m", "lengthwise", "up", "--data", str(data), "--port", "0", *arguments]
        inherited = {name: value for name, value in os.environ.items() if name not in OF_AN_INSTALLATION}
        with self.said.open("w") as stdout, self.progress.open("w") as stderr:
            self.process = subprocess.Popen(
                command, stdout=stdout, stderr=stderr, env={**inherited, **(environment or {})}
            )

    def wait_ready(self, patience: float = 120) -> str:
        """Waits until it prints that it is ready. Returns the API's URL."""
        wait_until(lambda: self.said.read_text().endswith("\n") or self.process.poll() is not None, patience)
        assert self.process.poll() is None, self.progress.read_text()
        word, url = self.said.read_text().split()
        assert word == "ready"
        return url

    def key(self) -> str:
        """Returns the API key that it made at its first start."""
        return (self.data / "admin.key").read_text().strip()

    def environment(self) -> dict[str, str]:
        """Returns the environment variables with which other commands reach its servers."""
        return dict(part.split("=", 1) for part in shlex.split((self.data / "environment").read_text()))

    def stop(self, patience: float = 60) -> int:
        """Sends SIGTERM and returns the exit code."""
        self.process.terminate()
        return self.process.wait(patience)


@contextmanager
def up(data: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Up]:
    """Starts ``lengthwise up`` and waits until it is ready. At the end it is stopped, unless the test did so."""
    running_up = Up(data, *arguments, environment=environment)
    try:
        running_up.wait_ready()
        yield running_up
    finally:
        with suppress(subprocess.TimeoutExpired):
            running_up.stop()
        running_up.process.kill()
        running_up.process.wait()


def free_port() -> int:
    """Returns a port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(is_so: Any, patience: float = 60) -> None:
    """Waits until the condition holds; it is checked every 50 ms. Fails after ``patience`` seconds."""
    deadline = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < deadline, f"the condition did not hold within {patience} s"
        time.sleep(0.05)


def processes_mentioning(text: str) -> list[int]:
    """Returns the ids of other processes with ``text`` in their command line or environment. Zombies have neither."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and int(entry.name) != os.getpid() and text.encode() in _traces(entry)
    ]


def _traces(entry: Path) -> bytes:
    found = b""
    for name in ("cmdline", "environ"):
        with suppress(OSError):
            found += (entry / name).read_bytes()
    return found
