"""Whoever is late finds nothing in a store that another job has, and writes nothing there."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from lengthwise import database
from lengthwise.errors import NotFound
from lengthwise.ledger.jobs import results
from lengthwise.ledger.queue import sweep as sweeps
from lengthwise.ledger.queue.claim import Claim
from lengthwise.ledger.queue.lease import heartbeat
from lengthwise.ledger.webhooks import push
from tests.integration.conftest import RunWorker
from tests.integration.stores.stores import TEXTS, delete, empty, n_rows, settle_all, store_of
from tests.ledger import (
    let_leases_run_out,
    must_take,
    outputs,
    put,
    rows,
    sql,
    state,
)
from tests.ledger import submit as write

pytestmark = pytest.mark.usefixtures("large_from_ten")


def test_a_late_settlement_writes_nothing_into_a_store_that_another_job_has() -> None:
    job, other = write(TEXTS), write(["x"] * 3)
    claimed = must_take()
    assert {shard.job_id for shard in claimed.shards.values()} == {job, other}
    delete(job)
    assert empty() == [1]
    after = write(TEXTS)
    assert store_of(after) == 1
    lost = {shard.id for shard in claimed.shards.values() if shard.job_id == job}
    assert put(claimed).shard_ids == claimed.shards.keys() - lost, "the other job's shards are settled"
    assert (n_rows(1), state(other)) == ((20, 0), "completed")
    settle_all()
    assert outputs(after).keys() == set(range(20))


def test_a_settlement_under_way_is_waited_for_by_the_deletion() -> None:
    job = write(TEXTS)
    claimed = must_take()
    with ThreadPoolExecutor(1) as pool:
        with database.engine().begin() as connection:
            connection.execute(text("SELECT FROM shards FOR UPDATE"))
            deleting = pool.submit(delete, job)
            time.sleep(0.3)
            assert not deleting.done()
            assert empty() == []
        deleting.result(10)
    assert not put(claimed).shard_ids
    assert (empty(), n_rows(1)) == ([1], (0, 0))


def test_a_late_claim_finds_nothing_of_a_deleted_job() -> None:
    job = write(TEXTS)
    delete(job)
    assert empty() == [1]
    after = write(TEXTS)
    claimed = must_take()
    assert {shard.job_id for shard in claimed.shards.values()} == {after}
    put(claimed)
    settle_all()
    assert len(outputs(after)) == 20


def test_a_late_reader_never_sees_the_rows_of_another_job() -> None:
    job = write(TEXTS)
    settle_all()
    first = rows(job, limit=5)
    delete(job)
    assert empty() == [1]
    after = write(TEXTS)
    settle_all()
    assert (len(first), len(rows(after))) == (20, 20)
    for has_dropped in (False, True):
        with database.engine().begin() as connection, pytest.raises(NotFound):
            results.read_page(
                connection, job, store=1, after=4, limit=5, chunk_items=10_000, n_items=20, has_dropped=has_dropped
            )


def test_a_late_push_sends_nothing_of_another_job(client: TestClient, run_worker: RunWorker) -> None:
    endpoint = {"url": "https://8.8.8.8/hook", "events": ["job.results"]}
    assert client.post("/v1/webhook-endpoints", json=endpoint).status_code == 201
    job = write(TEXTS)
    settle_all()
    sql("UPDATE jobs SET deleted_at = now() WHERE id = :job", job=job)  # expired, with a page still to be written
    assert empty() == [1]
    after = write(TEXTS)
    assert store_of(after) == 1
    with database.engine().begin() as connection:
        assert push.write_pages(connection, shards=100)
    assert sql("SELECT FROM deliveries") == []
    settle_all()
    with database.engine().begin() as connection:
        assert push.write_pages(connection, shards=100)
    assert set(sql("SELECT job_id FROM deliveries WHERE event = 'job.results'")) == {(after,)}


def test_leases_that_expire_at_the_same_time_are_halved_in_every_store() -> None:
    jobs = [write(["x" * 9] * n_items) for n_items in (8, 16, 12)]
    assert [store_of(job) for job in jobs] == [0, 1, 2]
    claimed = must_take()
    let_leases_run_out()
    with database.engine().begin() as connection:
        assert len(sweeps.expire_leases(connection, max_deaths=3)) == 3
    halves = sql("SELECT store, hi - lo, n_tokens, deaths FROM shards ORDER BY store, lo")
    assert halves == [(n, size, 9 * size, 1) for n, size in ((0, 4), (0, 4), (1, 8), (1, 8), (2, 6), (2, 6))]
    assert not put(claimed).shard_ids, "the lease is lost"
    settle_all()
    assert [len(outputs(job)) for job in jobs] == [8, 16, 12]


def test_settlements_and_heartbeats_of_several_stores_do_not_block_each_other() -> None:
    for n_items in (20, 1, 20, 1, 20):
        write(["x" * 9] * n_items, shard_items=1)
    claims = [must_take(items=16) for _ in range(3)]
    assert all(len({shard.store for shard in claimed.shards.values()}) > 1 for claimed in claims[1:])

    def settle(claimed: Claim) -> int:
        with database.engine().begin() as connection:
            heartbeat(connection, claimed.token, claimed.shard_ids, lease_seconds=60)
        return len(put(claimed).shard_ids)

    with ThreadPoolExecutor(6) as pool:
        written = list(pool.map(settle, claims + claims))
    assert sum(written) == sum(len(claimed.shards) for claimed in claims), "each is settled once"
