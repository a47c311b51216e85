"""Jobs that end before their work is done, while workers hold parts of them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from uuid import UUID

import pytest

from lengthwise import database
from lengthwise.errors import NotFound
from lengthwise.ledger.jobs import cancel, retention
from lengthwise.ledger.queue import sweep
from lengthwise.ledger.queue.lease import heartbeat
from tests.ledger import (
    DEFAULT,
    counts,
    is_delivery_noted,
    must_take,
    n_deliveries,
    new_tenant,
    outputs,
    put,
    rows,
    sql,
    state,
    submit,
    take,
)
from worker.delivery.signing import new_secret

pytestmark = pytest.mark.usefixtures("each_store", "installed")

HOOK = ("http://receiver.example/hook", new_secret())


def stop(job: UUID, tenant: UUID = DEFAULT) -> bool:
    with database.engine().begin() as connection:
        cancel.cancel(connection, job, tenant)
        return is_delivery_noted(connection)


def delete(job: UUID, tenant: UUID = DEFAULT) -> None:
    with database.engine().begin() as connection:
        cancel.delete(connection, job, tenant)


def purge() -> None:
    with database.engine().begin() as connection:
        assert retention.purge(connection, items=1000)


def expire() -> bool:
    with database.engine().begin() as connection:
        cancel.expire(connection)
        return is_delivery_noted(connection)


def n_rows(job: UUID) -> int:
    return sum(
        sql(f"SELECT count(*) FROM {table} WHERE job_id = :job", job=job)[0][0]  # noqa: S608 — our own names
        for table in ("shards", "items", "results", "deliveries")
    )


def test_cancelling_refuses_running_shards_and_keeps_finished_results() -> None:
    job = submit(["x" * 10] * 30, shard_items=10, webhook=HOOK)
    done, held = must_take(items=10), must_take(items=10)
    put(done)
    assert stop(job)
    assert put(held).shard_ids == frozenset()
    assert take() is None
    with database.engine().begin() as connection:
        assert heartbeat(connection, held.token, held.shard_ids, lease_seconds=60) == set()
    assert counts(job) == {"total": 30, "pending": 0, "succeeded": 10, "failed": 0, "cancelled": 20, "expired": 0}
    assert set(outputs(job)) == {item.index for item in done.items}
    assert (state(job), n_deliveries(job)) == ("cancelled", 1)


def test_an_item_that_never_ran_is_read_with_its_payload_in_the_callers_order() -> None:
    job = submit([f"{'x' * (index % 30)} {index:03}" for index in range(250)], shard_items=10, chunk_items=100)
    for _ in range(6):
        put(must_take(items=20))
    stop(job)
    for limit in (7, 1000):
        found = rows(job, chunk_items=100, limit=limit)
        assert [row.index for row in found] == list(range(250))
        dropped = [row for row in found if row.line is None]
        assert len(dropped) == counts(job)["cancelled"] > 0
        assert all(row.payload and row.payload.endswith(b'%03d"}' % row.index) for row in dropped)


def test_cancelling_an_ended_job_does_nothing() -> None:
    job = submit(["x"], webhook=HOOK)
    put(must_take())
    assert not stop(job)
    assert (state(job), n_deliveries(job)) == ("completed", 1)


@pytest.mark.parametrize("end", [stop, delete])
def test_another_tenants_job_is_not_found(end: Callable[[UUID, UUID], object]) -> None:
    job = submit(["x"])
    with pytest.raises(NotFound):
        end(job, new_tenant())
    assert state(job) == "open"


def test_only_jobs_past_their_deadline_expire() -> None:
    now = datetime.now(UTC)
    overdue = [submit(["x"] * 3, deadline_at=now - timedelta(seconds=1), webhook=HOOK) for _ in range(3)]
    others = [submit(["x"], deadline_at=now + timedelta(hours=1)), submit(["x"])]
    held = must_take()
    assert expire()
    assert not expire()
    assert {state(job) for job in overdue} == {"expired"}
    assert [counts(job)["expired"] for job in overdue] == [3, 3, 3]
    assert [n_deliveries(job) for job in overdue] == [1, 1, 1]
    assert {state(job) for job in others} == {"open"}
    put(held)
    assert {state(job) for job in others} == {"completed"}
    assert all(outputs(job) == {} for job in overdue)


def test_a_job_that_is_deleted_while_it_runs_leaves_nothing_behind() -> None:
    job = submit(["x" * 10] * 30, shard_items=10, webhook=HOOK)
    put(must_take(items=10))
    held = must_take()
    delete(job)
    assert put(held).shard_ids == frozenset()
    with pytest.raises(NotFound):
        state(job)
    purge()
    assert n_rows(job) == 0


@pytest.mark.parametrize("end", [stop, delete])
def test_a_cancellation_and_concurrent_settlements_do_not_fail_each_other(end: Callable[[UUID], object]) -> None:
    at_once = Barrier(4)

    def together(action: Callable[[], object]) -> None:
        at_once.wait()
        action()

    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            job, other = (submit(["x" * 10] * 40, shard_items=1, webhook=HOOK) for _ in range(2))
            first, second = must_take(items=20), must_take()
            actions: list[Callable[[], object]] = [
                lambda job=job: end(job),  # type: ignore[misc]
                lambda first=first: put(first),  # type: ignore[misc]
                lambda second=second: put(second, second.shard_ids[::-1]),  # type: ignore[misc]
                lambda first=first: beat(first.token, first.shard_ids[::-1]),  # type: ignore[misc]
            ]
            for outcome in pool.map(together, actions):
                assert outcome is None
            assert state(other) == "completed"
            assert n_deliveries(other) == 1
            if end is stop:
                assert counts(job)["pending"] == 0
                assert len(outputs(job)) == counts(job)["succeeded"]
                assert n_deliveries(job) == 1
            else:
                purge()
                assert n_rows(job) == 0


def beat(token: UUID, shard_ids: list[int]) -> None:
    with database.engine().begin() as connection:
        heartbeat(connection, token, shard_ids, lease_seconds=60)


def test_two_sweeps_expire_overdue_jobs_once() -> None:
    at_once = Barrier(3)

    def mend(_: int) -> None:
        at_once.wait()
        expire()
        with database.engine().begin() as connection:
            sweep.expire_leases(connection, max_deaths=3)

    with ThreadPoolExecutor(3) as pool:
        for _ in range(10):
            jobs = [submit(["x"] * 4, deadline_at=datetime.now(UTC), webhook=HOOK, shard_items=2) for _ in range(5)]
            list(pool.map(mend, range(3)))
            assert [(state(job), n_deliveries(job)) for job in jobs] == [("expired", 1)] * 5
