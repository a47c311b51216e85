"""Claims: which shards, in which order, under which budget, and what becomes of them while they are held."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest

from lengthwise import database
from lengthwise.ledger import claim as claims
from lengthwise.sharding import bucket_of
from lengthwise.states import Priority
from tests.ledger import (
    DEFAULT,
    POOL,
    let_leases_run_out,
    must_take,
    new_tenant,
    put,
    sql,
    submit,
    take,
    take_all,
)

pytestmark = pytest.mark.usefixtures("installed")


def attempts_of(shard_ids: list[int]) -> list[int]:
    return [row[0] for row in sql("SELECT attempts FROM shards WHERE id = ANY(:ids)", ids=shard_ids)]


def jobs_in_order() -> list[UUID]:
    """The jobs of the claims that follow each other, settled one by one."""
    order = []
    while claimed := take(items=1):
        order += [item.job_id for item in claimed.items]
        put(claimed)
    return order


def test_a_claim_is_of_one_bucket_across_jobs_and_tenants() -> None:
    jobs = {submit(["x" * 10] * 3 + ["x" * 100] * 2, tenant=tenant) for tenant in (DEFAULT, new_tenant())}
    first, second = must_take(), must_take()
    assert take() is None
    assert {item.job_id for item in first.items} == set(first.jobs) == jobs
    assert {item.n_tokens for item in first.items} == {10}
    assert [item.n_tokens for item in second.items] == [100] * 4


def test_items_come_whole() -> None:
    texts = [f"item {number}" + "x" * (number % 40) for number in range(300)]
    job = submit(texts, params={"top_k": 3}, shard_items=7, chunk_items=100)
    seen: dict[int, claims.ClaimedItem] = {}
    for claimed in take_all(items=20):
        assert claimed.jobs[job].params == {"top_k": 3}
        assert (claimed.jobs[job].kind, claimed.jobs[job].model) == ("generate", "echo")
        assert len({bucket_of(item.n_tokens) for item in claimed.items}) == 1
        assert set(claimed.attempts.values()) == {1}
        seen |= {item.index: item for item in claimed.items}
    assert [seen[index].payload for index in range(300)] == [b'{"text":"%b"}' % text.encode() for text in texts]
    assert all(seen[index].n_tokens == len(text) for index, text in enumerate(texts))


def test_the_most_urgent_comes_first_whenever_it_came() -> None:
    later = [submit(["x" * 10], priority=priority) for priority in reversed(Priority)]
    assert jobs_in_order() == later[::-1]


def test_a_claim_stops_at_its_tokens_or_its_items_whichever_comes_first() -> None:
    submit(["x" * 10] * 100, shard_items=10)
    assert len(must_take(tokens=250).items) == 30
    assert len(must_take(items=20).items) == 20
    assert len(must_take(tokens=1).items) == 10
    assert len(must_take().items) == 40


def test_many_tiny_jobs_fill_one_claim() -> None:
    jobs = {submit(["x" * 10]) for _ in range(100)}
    assert {item.job_id for item in must_take(items=256).items} == jobs


def test_what_another_worker_is_claiming_is_not_waited_for() -> None:
    submit(["x" * 10] * 20, shard_items=10)
    with database.engine().begin() as first, database.engine().begin() as second:
        mine, yours, nobodys = (
            claims.claim(connection, POOL, uuid4(), tokens=1, items=10, lease_seconds=60)
            for connection in (first, second, second)
        )
        assert mine
        assert yours
        assert nobodys is None
        assert set(mine.shard_ids).isdisjoint(yours.shard_ids)


def test_claims_at_once_never_share_a_shard_and_leave_none() -> None:
    submit(["x" * 10] * 4000, shard_items=4)
    with ThreadPoolExecutor(6) as pool:
        taken = [claimed for each in pool.map(lambda _: take_all(items=20), range(6)) for claimed in each]
    shards = [shard for claimed in taken for shard in claimed.shard_ids]
    assert len(shards) == len(set(shards)) == 1000
    assert sum(len(claimed.items) for claimed in taken) == 4000


def test_what_is_put_off_waits_for_its_time_and_is_charged() -> None:
    submit(["x" * 10] * 3)
    claimed = must_take()
    with database.engine().begin() as connection:
        claims.delay(connection, claimed.token, claimed.shard_ids, seconds=60)
    assert take() is None
    sql("UPDATE shards SET not_before = now()")
    assert set(must_take().attempts.values()) == {2}


def test_what_is_given_back_is_claimable_at_once_and_not_charged() -> None:
    submit(["x" * 10] * 3)
    claimed = must_take()
    with database.engine().begin() as connection:
        claims.release(connection, claimed.token, claimed.shard_ids)
    assert attempts_of(claimed.shard_ids) == [0]
    assert set(must_take().attempts.values()) == {1}


def test_only_its_holder_gives_a_shard_back() -> None:
    submit(["x" * 10])
    claimed = must_take()
    with database.engine().begin() as connection:
        claims.release(connection, uuid4(), claimed.shard_ids)
        claims.delay(connection, uuid4(), claimed.shard_ids, seconds=0)
    assert take() is None


def test_a_heartbeat_renews_the_lease_and_tells_what_was_taken() -> None:
    submit(["x" * 10] * 30, shard_items=10)
    claimed = must_take(lease_seconds=1)
    done, taken, held = claimed.shard_ids
    put(claimed, [done])
    sql("UPDATE shards SET token = :other WHERE id = :taken", other=uuid4(), taken=taken)
    let_leases_run_out()
    with database.engine().begin() as connection:
        assert claims.heartbeat(connection, claimed.token, claimed.shard_ids, lease_seconds=60) == {held}
    assert sql("SELECT id FROM shards WHERE lease_until > now() + interval '50 seconds'") == [(held,)]


def test_a_shard_whose_workers_died_too_often_is_taken_to_be_refused() -> None:
    submit(["x" * 10] * 20, shard_items=10)
    claimed = must_take(items=10)
    sql("UPDATE shards SET attempts = 5 WHERE id = ANY(:ids)", ids=claimed.shard_ids)
    with database.engine().begin() as connection:
        assert claims.claim_exhausted(connection, uuid4(), max_attempts=5, lease_seconds=60) is None
    let_leases_run_out()
    with database.engine().begin() as connection:
        exhausted = claims.claim_exhausted(connection, uuid4(), max_attempts=5, lease_seconds=60)
    assert exhausted
    assert exhausted.attempts == dict.fromkeys(claimed.shard_ids, 5)
    assert exhausted.token != claimed.token
