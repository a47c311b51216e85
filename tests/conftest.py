"""Fixtures for tests that need servers. A run without such tests starts no servers."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import hypothesis
import pytest

from lengthwise import database, queue, settings
from tests import caller
from tests import servers as real
from tests.published.loopback.hub import Hub
from tests.published.loopback.hub import running as running_hub

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def keys_of_the_suite() -> Iterator[None]:
    """Makes this process, and every process that it starts, accept the suite's API key."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in caller.VARIABLES.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def servers() -> Iterator[real.Urls]:
    """PostgreSQL and Redis for all tests of this process."""
    with real.running() as urls:
        yield urls


@pytest.fixture
def database_url(servers: real.Urls) -> Iterator[str]:
    """A migrated, empty database for one test."""
    with servers.fresh_database() as url:
        yield url


@pytest.fixture
def redis_url(servers: real.Urls) -> str:
    """The broker, emptied before the test."""
    with real.redis_client(servers.redis) as client:
        client.flushdb()
    return servers.redis


@pytest.fixture
def installed(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[settings.Settings]:
    """Makes this process's settings name the test's servers, and drops pools and apps made for earlier tests."""
    monkeypatch.setenv(real.DATABASE_VARIABLE, database_url)
    monkeypatch.setenv(real.REDIS_VARIABLE, redis_url)
    monkeypatch.setenv("LENGTHWISE_MASTER_KEY", real.MASTER_KEY)
    forget()
    yield settings.get()
    forget()


@pytest.fixture(params=["shared tables", "own tables"])
def each_store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs a test twice: all jobs share their tables, and each job has tables of its own while there are any."""
    if request.param == "own tables":
        monkeypatch.setenv("LENGTHWISE_LARGE_JOB_ITEMS", "1")
    settings.get.cache_clear()


def forget() -> None:
    """Drops the settings, pools and apps that this process made for other servers, and closes the pools."""
    settings.get.cache_clear()
    for pool in database._pools.copy().values():  # a thread of an earlier test may have made one after its end
        database.shut(pool)
    database.forget()
    queue.forget()


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Builds a repository of ``tests.published`` once per session, by its name; tests must not change these folders."""
    from tests.published import repositories  # which imports transformers

    root = tmp_path_factory.mktemp("published")
    return cache(lambda name: repositories.build(name, root / name))


@pytest.fixture
def model_hub() -> Iterator[Hub]:
    """A hub of models on this machine, which serves what a test gives it."""
    with running_hub() as hub:
        yield hub
