"""How long each look takes: warm, and cold after a restart of Postgres whose files are no longer in memory."""

import gc
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple
from uuid import uuid4

from starlette.testclient import TestClient

from api.app import create_app
from benchmarks.operate.looks import Look, RunningInstallation, metrics
from lengthwise import database, queue, settings
from lengthwise.local.embedded import Servers

_KEY = "the-key-of-this-benchmark"
_STATIC = {"LENGTHWISE_ADMIN_KEY": _KEY, "LENGTHWISE_KEY_PEPPER": "the-pepper-of-this-benchmark-alone"}


class LookTimes(NamedTuple):
    """Milliseconds: the median and the longest of the warm rounds, and the only cold one if it was measured."""

    warm: float
    longest: float
    cold: float | None


@contextmanager
def servers(data: Path) -> Iterator[str]:
    """Runs Postgres and Redis on this folder, and makes this process use them. Yields the database's URL."""
    with Servers(data) as running:
        assert running.database_url and running.redis_url  # noqa: S101
        named = {"LENGTHWISE_DATABASE_URL": running.database_url, "LENGTHWISE_REDIS_URL": running.redis_url}
        os.environ.update(_STATIC | named)
        settings.get.cache_clear()
        database.forget()
        queue.forget()
        yield running.database_url
        database.shut(database.engine())


@contextmanager
def asked(data: Path) -> Iterator[RunningInstallation]:
    """A running installation whose connections are open. Only its own look-up of an unknown job has been answered."""
    headers = {"Authorization": f"Bearer {_KEY}"}
    with servers(data), TestClient(create_app(), headers=headers) as client:
        assert client.get(f"/v1/jobs/{uuid4()}").status_code == 404  # noqa: S101
        with database.engine().begin() as connection:
            database.cursor(connection).execute("SELECT 1")
        # As ``api.serve`` does: a full collection of all libraries' objects would come upon one of the answers.
        gc.collect()
        gc.freeze()
        yield RunningInstallation(client, metrics())


def measure(data: Path, looks: Iterable[Look], rounds: int, *, has_cold: bool) -> Mapping[str, LookTimes]:
    """All looks, warm in one run of the servers, and then each one cold in a run of its own."""
    every, warm, cold = list(looks), dict[str, list[float]](), dict[str, float]()
    with asked(data) as running:
        files = _files_of_postgres()
        for look in every:
            warm[look.name] = _warm(running, look, rounds)
    for look in every if has_cold else ():
        _drop_from_memory(files)
        with asked(data) as running:
            cold[look.name] = _milliseconds(running, look)
    return {name: LookTimes(median(found), max(found), cold.get(name)) for name, found in warm.items()}


def _warm(running: RunningInstallation, look: Look, rounds: int) -> list[float]:
    found = []
    for _ in range(rounds + 1):
        found.append(_milliseconds(running, look))
        time.sleep(look.pause)
    return found[1:]


def _milliseconds(running: RunningInstallation, look: Look) -> float:
    began_at = time.perf_counter()
    look.ask(running)
    return 1000 * (time.perf_counter() - began_at)


def _files_of_postgres() -> Path:
    with database.engine().begin() as connection:
        [(folder,)] = database.cursor(connection).execute("SHOW data_directory").fetchall()
    return Path(folder)


def _drop_from_memory(folder: Path) -> None:
    """Asks the kernel to forget these files. Postgres is not running, so all of them are on the disk."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
