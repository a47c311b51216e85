"""Fixtures for everything that needs servers; what needs none starts none."""

from collections.abc import Iterator

import pytest

from lengthwise import database, queue, settings
from tests import caller
from tests import servers as real


@pytest.fixture(scope="session", autouse=True)
def keys_of_the_suite() -> Iterator[None]:
    """This process, and what it starts, let the suite's key in."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in caller.VARIABLES.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def servers() -> Iterator[real.Urls]:
    """PostgreSQL and Redis for the whole run."""
    with real.running() as urls:
        yield urls


@pytest.fixture
def database_url(servers: real.Urls) -> Iterator[str]:
    """A migrated database of the test's own."""
    with servers.fresh_database() as url:
        yield url


@pytest.fixture
def redis_url(servers: real.Urls) -> str:
    """The broker, emptied."""
    with real.redis_client(servers.redis) as client:
        client.flushdb()
    return servers.redis


@pytest.fixture
def installed(database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[settings.Settings]:
    """This process's settings name the test's own servers; pools and apps made for others are forgotten."""
    monkeypatch.setenv(real.DATABASE_VARIABLE, database_url)
    monkeypatch.setenv(real.REDIS_VARIABLE, redis_url)
    monkeypatch.setenv("LENGTHWISE_MASTER_KEY", real.MASTER_KEY)
    forget()
    yield settings.get()
    database.shut(database.engine())
    forget()


def forget() -> None:
    """Settings, pools and apps that this process made for other servers."""
    settings.get.cache_clear()
    database.engine.cache_clear()
    queue.forget()
