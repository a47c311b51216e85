"""Settlements are written behind the fence of a lease, once and completely, and the last one ends its job."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from uuid import uuid4

import pytest
from pydantic_core import from_json

from lengthwise import database
from lengthwise.ledger.queue import sweep
from lengthwise.ledger.queue.claim import Claim
from lengthwise.ledger.queue.lease import release
from lengthwise.ledger.queue.settle import complete_jobs, settle
from lengthwise.states import ResultStatus
from tests.ledger import (
    counts,
    figures,
    is_delivery_noted,
    let_leases_run_out,
    must_take,
    n_deliveries,
    outputs,
    put,
    settlements,
    sql,
    state,
    submit,
    take,
    take_all,
)
from worker.delivery.signing import new_secret

pytestmark = pytest.mark.usefixtures("each_store", "installed")

HOOK = ("http://receiver.example/hook", new_secret())


class Dropped(Exception):
    """Rolls a transaction back."""


def pending(job: object, settled: int, total: int = 30) -> dict[str, int]:
    return {
        "total": total, "pending": total - settled, "succeeded": settled, "failed": 0, "cancelled": 0, "expired": 0
    }  # fmt: skip


def taken_back() -> None:
    """Expires the leases of all claims, and lets the sweep make their shards ready."""
    let_leases_run_out()
    with database.engine().begin() as connection:
        assert sweep.expire_leases(connection, max_deaths=3)


def test_a_worker_whose_lease_was_lost_writes_nothing() -> None:
    job = submit(["x" * 10] * 30)
    dead = must_take()
    taken_back()
    assert put(dead).shard_ids == frozenset()
    both = take_all()  # a shard whose worker died was halved, and each half is claimed alone
    assert put(dead).shard_ids == frozenset()
    assert counts(job)["pending"] == 30
    assert outputs(job) == {}
    for living in both:
        assert put(living).shard_ids == frozenset(living.shard_ids)
    assert put(dead).shard_ids == frozenset()
    assert len(outputs(job)) == 30


def test_an_expired_lease_that_was_not_swept_still_settles() -> None:
    job = submit(["x" * 10] * 30)
    late = must_take()
    let_leases_run_out()
    assert put(late).shard_ids
    assert state(job) == "completed"


def test_settling_twice_writes_once() -> None:
    job = submit(["x" * 10] * 30)
    claimed = must_take()
    assert put(claimed).shard_ids == frozenset(claimed.shard_ids)
    assert put(claimed).shard_ids == frozenset()
    assert len(outputs(job)) == 30


def test_a_claim_that_was_partly_lost_writes_what_it_still_holds() -> None:
    job = submit(["x" * 10] * 30, shard_items=10)
    claimed = must_take()
    lost, *held = claimed.shard_ids
    sql("UPDATE shards SET token = :token WHERE id = :id", token=uuid4(), id=lost)
    assert put(claimed).shard_ids == frozenset(held)
    assert set(outputs(job)) == {item.index for item in claimed.items if item.shard_id != lost}
    assert counts(job) == pending(job, 20)


def test_the_counts_of_items_add_up_after_every_step() -> None:
    job = submit(["x" * 10] * 30, shard_items=10, refused=[3, 4])
    assert counts(job) == pending(job, 0) | {"pending": 28, "failed": 2}
    first = must_take(items=10)
    assert figures(job).is_begun
    put(first, status=ResultStatus.FAILED)
    assert counts(job) == pending(job, 0) | {"pending": 18, "failed": 12}
    second = must_take(items=10)
    with database.engine().begin() as connection:
        release(connection, second.token, second.shard_ids)
    assert counts(job) == pending(job, 0) | {"pending": 18, "failed": 12}
    put(must_take())
    assert counts(job) == {"total": 30, "pending": 0, "succeeded": 18, "failed": 12, "cancelled": 0, "expired": 0}
    assert set(outputs(job)) == set(range(30))


def test_the_jobs_figures_are_the_sums_of_its_settlements() -> None:
    job = submit(["x" * 10] * 20 + ["x" * 20] * 10, shard_items=10)
    for _ in range(3):
        put(must_take(items=10))
    found = figures(job)
    assert (found.n_done, found.n_input, found.n_output, found.n_padded, found.n_batches) == (30, 400, 3, 3, 3.0)
    assert (found.n_recent, found.n_dropped) == (30, 0)
    assert found.items_per_second > 0


def test_the_last_shard_ends_the_job_and_writes_its_delivery() -> None:
    job = submit(["x" * 10] * 30, shard_items=10, webhook=HOOK)
    claimed = must_take()
    assert not put(claimed, claimed.shard_ids[:2]).delivery_due
    assert (state(job), n_deliveries(job)) == ("open", 0)
    assert put(claimed, claimed.shard_ids[2:]).delivery_due
    assert figures(job).finished_at is not None
    [(url, secrets, event, due, body)] = sql("SELECT url, secrets, event, state, body FROM deliveries")
    assert (url, secrets, event, due) == (HOOK[0], [], "job.completed", "pending")
    assert from_json(body)["data"] == {
        "id": str(job), "kind": "generate", "state": "completed", "counts": counts(job), "warnings": {}
    }  # fmt: skip


def test_a_rollback_leaves_neither_results_nor_a_delivery() -> None:
    job = submit(["x" * 10] * 3, webhook=HOOK)
    claimed = must_take()
    with pytest.raises(Dropped), database.engine().begin() as connection:
        settle(connection, claimed.token, settlements(claimed))
        assert is_delivery_noted(connection)
        raise Dropped
    assert (state(job), n_deliveries(job), outputs(job)) == ("open", 0, {})
    assert put(claimed).delivery_due
    assert (state(job), n_deliveries(job), len(outputs(job))) == ("completed", 1, 3)


def test_a_job_end_that_two_settlements_both_missed_is_found_by_the_sweep() -> None:
    job = submit(["x" * 10] * 3, webhook=HOOK)
    claimed = must_take()
    put(claimed)
    sql("UPDATE jobs SET state = 'open', finished_at = NULL")
    sql("DELETE FROM deliveries")
    with database.engine().begin() as connection:
        assert sweep.find_finished_jobs(connection) == ([job], None)
        complete_jobs(connection, [job])
        assert is_delivery_noted(connection)
    assert (state(job), n_deliveries(job)) == ("completed", 1)


@pytest.fixture(scope="module")
def two_threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


def test_the_last_two_shards_settled_at_the_same_instant_end_the_job_once(two_threads: ThreadPoolExecutor) -> None:
    at_once = Barrier(2)

    def finish(claimed: Claim) -> bool:
        at_once.wait()
        return put(claimed).delivery_due

    for _ in range(25):
        job = submit(["x" * 10] * 8, shard_items=4, webhook=HOOK)
        last = [must_take(items=4), must_take(items=4)]
        assert take() is None
        assert sorted(two_threads.map(finish, last)) == [False, True]
        assert (state(job), n_deliveries(job), len(outputs(job))) == ("completed", 1, 8)
