"""Requests are counted whatever event loop they come in: a client of tests may have a loop for each request."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest

from api.access import request_counter
from api.access.caller import Caller
from api.access.request_counter import RequestCounter
from lengthwise.errors import Unavailable
from lengthwise.ledger.accounts import usage

TENANT, KEY = UUID(int=1), UUID(int=2)
CALLER = Caller(KEY, TENANT, frozenset())


class CountingDatabase:
    """Stands for the database, and sums up what is written to it."""

    def __init__(self) -> None:
        self.counts: Counter[Any] = Counter()
        self.is_away = False

    @contextmanager
    def begin(self) -> Iterator["CountingDatabase"]:
        if self.is_away:
            raise Unavailable("the database is away")
        yield self


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> CountingDatabase:
    monkeypatch.setattr(request_counter, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(usage, "add_requests", lambda database, counts: database.counts.update(counts))
    return CountingDatabase()


async def come(counter: RequestCounter, n_requests: int, seconds: float = 0.0) -> None:
    """So many requests. Then their event loop goes on for so many seconds."""
    for _ in range(n_requests):
        counter.count(CALLER)
    await asyncio.sleep(seconds)


def test_requests_are_written_at_the_end(written: CountingDatabase) -> None:
    counter: Any = RequestCounter(written)  # type: ignore[arg-type]

    async def live() -> None:
        await come(counter, 3)
        await counter.close()

    asyncio.run(live())
    assert written.counts == {(TENANT, KEY): 3}


@pytest.mark.parametrize("seconds", [0.0, 0.05], ids=["at once", "after it has written"])
def test_a_request_of_another_event_loop_is_counted_like_those_of_the_first(
    written: CountingDatabase, caplog: pytest.LogCaptureFixture, seconds: float
) -> None:
    """The task that writes ends with its loop, and the next loop has one of its own."""
    counter: Any = RequestCounter(written)  # type: ignore[arg-type]
    asyncio.run(come(counter, 2, seconds))
    asyncio.run(come(counter, 3, seconds))

    async def last() -> None:
        await come(counter, 4, 0.05)
        await counter.close()

    asyncio.run(last())
    assert written.counts == {(TENANT, KEY): 9}
    assert not [record.getMessage() for record in caplog.records if record.name == "asyncio"]


def test_counts_are_kept_while_the_database_is_away(written: CountingDatabase) -> None:
    counter: Any = RequestCounter(written)  # type: ignore[arg-type]

    async def live() -> None:
        written.is_away = True
        await come(counter, 2, 0.05)
        written.is_away = False
        await come(counter, 1)
        await counter.close()

    asyncio.run(live())
    assert written.counts == {(TENANT, KEY): 3}
