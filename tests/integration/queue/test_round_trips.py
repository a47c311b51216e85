"""How often a worker waits for its database: each wait costs the distance to it, twice."""

from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from uuid import uuid4

import pytest
from sqlalchemy.engine import make_url

from lengthwise import database, settings
from lengthwise.ledger.queue.claim import ClaimLimits, claim
from lengthwise.states import Priority, WorkerRole
from tests import servers as real
from tests.conftest import forget
from tests.faults.proxy import Proxy
from tests.ledger import POOL, settlements, sql, submit
from worker.generation import claiming, settlement
from worker.generation.distance import Distance
from worker.generation.lease import Lease
from worker.generation.models import LoadedModels
from worker.generation.pool_rotation import PassedOver, PoolRotation
from worker.generation.watchdog import Watchdog
from worker.presence import Presence
from worker.shutdown import Shutdown

#: One of these calls takes another round trip, in which psycopg prepares a statement that was executed often.
_TRIES = 8


@pytest.fixture
def proxy(installed: settings.Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The database at no distance, behind a proxy that counts."""
    url = make_url(installed.require_database_url())
    socket = Path(str(url.query["host"])) / f".s.PGSQL.{url.port or 5432}"
    with Proxy(socket) as made:
        through = url.set(host="127.0.0.1", port=made.port, query={}).render_as_string(hide_password=False)
        monkeypatch.setenv(real.DATABASE_VARIABLE, through)
        forget()
        yield made
        database.shut(database.engine())


def trips(proxy: Proxy, act: Callable[[], object]) -> float:
    """The usual number of round trips of a call."""
    sql("SELECT 1")  # connects
    counted = []
    for _ in range(_TRIES):
        before = proxy.n_round_trips
        act()
        counted.append(proxy.n_round_trips - before)
    return median(counted)


def test_a_claim_takes_two_and_a_third_one_if_it_is_filled_up(proxy: Proxy) -> None:
    submit(["abc"] * 20 * _TRIES, shard_items=10)

    def take(limits: ClaimLimits) -> None:
        with database.engine().begin(pipelined=True) as connection:
            pending = claim(connection, POOL, uuid4(), limits, lease_seconds=30)
        claimed = pending()
        assert claimed is not None and len(claimed.items) == 10

    assert trips(proxy, lambda: take(ClaimLimits(30, 10))) <= 2
    assert trips(proxy, lambda: take(ClaimLimits(35, 15))) <= 3


def test_a_settlement_takes_two(proxy: Proxy) -> None:
    submit(["abc"] * 10 * (_TRIES + 2), shard_items=10)  # its last shards stay open: a job's end takes more

    def take_and_settle() -> None:
        with database.engine().begin(pipelined=True) as connection:
            pending = claim(connection, POOL, uuid4(), ClaimLimits(30, 10), lease_seconds=30)
        claimed = pending()
        assert claimed is not None
        before = proxy.n_round_trips
        settlement.write(claimed.token, settlements(claimed))
        counted.append(proxy.n_round_trips - before)

    counted: list[int] = []
    trips(proxy, take_and_settle)
    assert median(counted) <= 2
    assert sql("SELECT count(*) FROM results") == [(10 * _TRIES,)]


@pytest.mark.parametrize("priority", [Priority.NORMAL, Priority.INTERACTIVE])
def test_a_question_takes_one(proxy: Proxy, priority: Priority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.generation.lease._CHECK_SECONDS", 0)
    submit(["abc"], priority=priority)
    shutdown = Shutdown()
    watchdog = Watchdog(shutdown)
    rotation = PoolRotation(POOL, LoadedModels(watchdog, Presence(WorkerRole.GENERATE, shutdown)), PassedOver())
    assert trips(proxy, Lease(uuid4(), [1], watchdog, shutdown, Distance()).check) <= 1
    assert trips(proxy, lambda: claiming._urgent_pools()) <= 1
    assert trips(proxy, rotation._waiting) <= 1
