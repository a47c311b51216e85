"""Claims: which shards they take, in which order, within which limits, and what happens to held shards."""

from concurrent.futures import ThreadPoolExecutor
from math import ceil, log2
from uuid import UUID, uuid4

import pytest

from lengthwise import database
from lengthwise.ledger.queue import claim as claims
from lengthwise.ledger.queue import lease, sweep
from lengthwise.sharding import bucket_of
from lengthwise.states import Priority
from tests.ledger import (
    DEFAULT,
    EVERY_RESULT,
    POOL,
    jobs_in,
    let_leases_run_out,
    must_take,
    new_tenant,
    put,
    sql,
    submit,
    take,
    take_all,
)

pytestmark = pytest.mark.usefixtures("each_store", "installed")


def deaths_in(claimed: claims.Claim) -> set[int]:
    return {shard.deaths for shard in claimed.shards.values()}


def jobs_in_order() -> list[UUID]:
    """The jobs of consecutive claims, each of which is settled before the next."""
    order = []
    while claimed := take(items=1):
        order += jobs_in(claimed)
        put(claimed)
    return order


def test_a_claim_takes_one_bucket_across_jobs_and_tenants() -> None:
    jobs = {submit(["x" * 10] * 3 + ["x" * 100] * 2, tenant=tenant) for tenant in (DEFAULT, new_tenant())}
    first, second = must_take(), must_take()
    assert take() is None
    assert set(jobs_in(first)) == set(first.jobs) == jobs
    assert {item.n_tokens for item in first.items} == {10}
    assert [item.n_tokens for item in second.items] == [100] * 4


def test_a_claim_has_complete_items() -> None:
    texts = [f"item {number}" + "x" * (number % 40) for number in range(300)]
    job = submit(texts, params={"top_k": 3}, shard_items=7, chunk_items=100)
    seen: dict[int, claims.ClaimedItem] = {}
    for claimed in take_all(items=20):
        assert claimed.jobs[job].params == {"top_k": 3}
        assert (claimed.jobs[job].kind, claimed.jobs[job].model) == ("generate", "echo")
        assert len({bucket_of(item.n_tokens) for item in claimed.items}) == 1
        assert deaths_in(claimed) == {1}
        seen |= {item.index: item for item in claimed.items}
    assert [seen[index].payload for index in range(300)] == [b'{"text":"%b"}' % text.encode() for text in texts]
    assert all(seen[index].n_tokens == len(text) for index, text in enumerate(texts))


def test_the_most_urgent_shard_is_claimed_first() -> None:
    later = [submit(["x" * 10], priority=priority) for priority in reversed(Priority)]
    assert jobs_in_order() == later[::-1]


def test_a_claim_stays_within_its_limits_but_has_at_least_one_shard() -> None:
    submit(["x" * 10] * 100, shard_items=10)
    assert len(must_take(tokens=299).items) == 20
    assert len(must_take(items=20).items) == 20
    assert len(must_take(tokens=1).items) == 10
    assert len(must_take().items) == 50


def test_many_tiny_jobs_fill_one_claim() -> None:
    jobs = {submit(["x" * 10]) for _ in range(100)}
    assert set(jobs_in(must_take(items=256))) == jobs


def test_a_claim_does_not_wait_for_shards_that_another_worker_locks() -> None:
    submit(["x" * 10] * 20, shard_items=10)
    with database.engine().begin() as first, database.engine().begin() as second:
        mine, yours, nobodys = (
            claims.claim(connection, POOL, uuid4(), claims.ClaimLimits(tokens=1, items=10), lease_seconds=60)()
            for connection in (first, second, second)
        )
        assert mine
        assert yours
        assert nobodys is None
        assert set(mine.shard_ids).isdisjoint(yours.shard_ids)


def test_concurrent_claims_share_no_shard_and_leave_none() -> None:
    submit(["x" * 10] * 4000, shard_items=4)
    with ThreadPoolExecutor(6) as pool:
        taken = [claimed for each in pool.map(lambda _: take_all(items=20), range(6)) for claimed in each]
    shards = [shard for claimed in taken for shard in claimed.shard_ids]
    assert len(shards) == len(set(shards)) == 1000
    assert sum(len(claimed.items) for claimed in taken) == 4000


def test_a_delayed_shard_waits_and_loses_an_attempt() -> None:
    submit(["x" * 10] * 3)
    claimed = must_take()
    with database.engine().begin() as connection:
        lease.delay(connection, claimed.token, claimed.shard_ids, seconds=60)
    assert take() is None
    sql("UPDATE shards SET not_before = now()")
    (again,) = must_take().shards.values()
    assert (again.attempts, again.deaths) == (1, 1)


def test_a_released_shard_is_claimable_at_once_and_loses_no_attempt() -> None:
    submit(["x" * 10] * 3)
    claimed = must_take()
    with database.engine().begin() as connection:
        lease.release(connection, claimed.token, claimed.shard_ids)
    assert sql("SELECT attempts, deaths FROM shards") == [(0, 0)]
    assert deaths_in(must_take()) == {1}


def test_only_the_holder_of_a_shard_can_give_it_back() -> None:
    submit(["x" * 10])
    claimed = must_take()
    with database.engine().begin() as connection:
        lease.release(connection, uuid4(), claimed.shard_ids)
        lease.delay(connection, uuid4(), claimed.shard_ids, seconds=0)
    assert take() is None


def test_a_heartbeat_renews_leases_and_reports_lost_shards() -> None:
    submit(["x" * 10] * 30, shard_items=10)
    claimed = must_take(lease_seconds=1)
    done, taken, held = claimed.shard_ids
    put(claimed, [done])
    sql("UPDATE shards SET token = :other WHERE id = :taken", other=uuid4(), taken=taken)
    let_leases_run_out()
    with database.engine().begin() as connection:
        assert lease.heartbeat(connection, claimed.token, claimed.shard_ids, lease_seconds=60) == {held}
    assert sql("SELECT id FROM shards WHERE lease_until > now() + interval '50 seconds'") == [(held,)]


def die() -> None:
    """Every worker dies, and the sweep expires its leases."""
    let_leases_run_out()
    with database.engine().begin() as connection:
        sweep.expire_leases(connection, max_deaths=3)


def test_a_shard_whose_worker_died_is_halved_and_claimed_alone() -> None:
    submit(["x" * 10] * 7 + ["x" * 9], shard_items=8)
    submit(["x" * 10])
    must_take(items=8)
    die()
    halves = take_all()
    assert sorted((len(half.items), deaths_in(half)) for half in halves) == [(1, {1}), (4, {2}), (4, {2})]
    assert sum(item.n_tokens for half in halves for item in half.items) == 89
    assert sorted(sql("SELECT lo, hi, n_tokens FROM shards")) == [(0, 1, 10), (0, 4, 39), (4, 8, 40)]


@pytest.mark.parametrize("earlier", [0, 3], ids=["nothing was before it", "much was before it"])
def test_what_a_dead_worker_held_comes_before_all_that_waits_with_its_priority(earlier: int) -> None:
    """A claim fills up from later shards of its bucket. After a death they do not queue again for their first place."""
    held = submit(["x" * 10] * 4, shard_items=2)
    before = [submit(["x" * 100]) for _ in range(earlier)]
    assert set(jobs_in(must_take())) == {held}
    sql("UPDATE shards SET vkey = (SELECT max(vkey) + 1 FROM shards) WHERE job_id = :held", held=held)
    after = [submit(["x" * 100]) for _ in range(3)]
    urgent = submit(["x" * 10], priority=Priority.INTERACTIVE)
    die()
    assert jobs_in_order() == [urgent, *[held] * 4, *before, *after]


@pytest.mark.parametrize("n_items", [64, 60, 5, 1])
def test_a_poison_item_is_isolated_and_condemned_after_at_most_log2_plus_one_deaths(n_items: int) -> None:
    """A worker that holds the poison item dies; all other shards are settled."""
    poison = n_items // 3
    submit(["x" * 10] * n_items)
    n_deaths = 0
    while claimed := take():
        if any(item.index == poison for item in claimed.items):
            n_deaths += 1
            die()
        else:
            put(claimed)
    with database.engine().begin() as connection:
        condemned = claims.claim_condemned(connection, uuid4(), max_deaths=3, lease_seconds=60)
    assert condemned
    assert [item.index for item in condemned.items] == [poison]
    assert n_deaths <= max(3, ceil(log2(n_items)) + 1)
    assert len(sql(f"SELECT FROM {EVERY_RESULT} result")) == n_items - 1


def test_an_innocent_item_survives_the_deaths_that_its_neighbours_cause() -> None:
    submit(["x" * 10])
    for deaths in (1, 2):
        assert deaths_in(must_take()) == {deaths}
        die()
        with database.engine().begin() as connection:
            assert claims.claim_condemned(connection, uuid4(), max_deaths=3, lease_seconds=60) is None
    put(must_take())
    assert take() is None


def test_a_batch_of_few_rows_is_filled_from_the_neighbouring_buckets_the_nearest_first() -> None:
    submit(["x" * 10] * 2 + ["x" * 14] * 3 + ["x" * 30] * 3, shard_items=1)
    claimed = must_take(items=64, batch_items=4)
    assert [item.n_tokens for item in claimed.items] == [10, 10, 14, 14]
    assert [item.n_tokens for item in must_take(items=64, batch_items=4).items] == [14, 30, 30, 30]


def test_much_longer_shards_do_not_fill_a_batch() -> None:
    submit(["x" * 10] * 2 + ["x" * 100] * 3)
    assert [len(claimed.items) for claimed in take_all(items=64, batch_items=4)] == [2, 3]


def test_a_claim_is_topped_up_with_shards_that_became_ready_meanwhile() -> None:
    submit(["x" * 10] * 2)
    limits = claims.ClaimLimits(tokens=4096, items=64, batch_items=64)
    claimed = must_take(items=64, batch_items=64, tokens=4096)
    later = submit(["x" * 10] * 3)
    with database.engine().begin() as connection:
        topped = claims.top_up(connection, POOL, claimed, limits, lease_seconds=60)()
        again = claims.top_up(connection, POOL, topped, limits, lease_seconds=60)()
    assert len(topped.items) == 5
    assert later in topped.jobs
    assert again.items == topped.items
    put(topped)
    assert len(sql(f"SELECT FROM {EVERY_RESULT} result")) == 5


def test_a_worker_that_holds_other_work_passes_over_suspects() -> None:
    submit(["x" * 10] * 8, shard_items=4)
    must_take(items=4)
    die()
    with database.engine().begin() as connection:
        limits = claims.ClaimLimits(tokens=10**6, items=100)
        held = claims.claim(connection, POOL, uuid4(), limits, lease_seconds=60, with_suspects=False)()
        assert held
        assert {shard.deaths for shard in held.shards.values()} == {1}
        assert claims.claim(connection, POOL, uuid4(), limits, lease_seconds=60, with_suspects=False)() is None
    assert sum(len(suspect.items) for suspect in take_all()) == 4
