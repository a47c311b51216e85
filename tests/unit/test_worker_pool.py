"""The pool of a worker's process. No server is needed: a pool without connections opens none."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from lengthwise import database
from tests.conftest import forget
from tests.servers import DATABASE_VARIABLE

N_THREADS = 4


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(DATABASE_VARIABLE, "postgresql://nobody@localhost:1/none")
    forget()
    yield
    forget()


def test_threads_that_ask_first_at_the_same_time_get_one_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    real_connect, together = database.connect, Barrier(N_THREADS)

    def connect(*arguments: Any, **named: Any) -> database.Database:
        together.wait(30)  # until every thread makes one
        return real_connect(*arguments, **named)

    monkeypatch.setattr(database, "connect", connect)
    with ThreadPoolExecutor(N_THREADS) as threads:
        asked = [threads.submit(database.engine) for _ in range(N_THREADS)]
        pools = {id(each.result(30)) for each in asked}
    assert pools == {id(database.engine())}


def test_once_it_is_forgotten_a_new_pool_is_made() -> None:
    first = database.engine()
    assert database.engine() is first
    database.forget()
    assert database.engine() is not first
