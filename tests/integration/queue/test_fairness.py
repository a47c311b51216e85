"""Fair queueing: which tenant's shard is claimed next, with small and large jobs."""

from uuid import UUID

import pytest

from lengthwise.states import Priority
from tests.ledger import jobs_in, must_take, new_tenant, put, submit

pytestmark = pytest.mark.usefixtures("installed")


def order(first: int) -> list[UUID]:
    """The jobs of the first shards, in the order in which they are claimed."""
    return [jobs_in(must_take(items=1))[0] for _ in range(first)]


def test_one_item_does_not_wait_behind_another_tenants_big_job() -> None:
    submit(["x" * 10] * 1000, shard_items=10)
    put(must_take(items=100))
    small = submit(["x" * 10], tenant=new_tenant())
    assert small in order(first=2)


def test_hundreds_of_tiny_jobs_do_not_starve_another_tenant() -> None:
    for _ in range(200):
        submit(["x" * 10])
    other = new_tenant()
    theirs = [submit(["x" * 10], tenant=other) for _ in range(10)]
    assert set(theirs) < set(order(first=22))


def test_a_tenant_of_twice_the_weight_gets_twice_the_work() -> None:
    heavy = submit(["x" * 10] * 400, tenant=new_tenant(weight=2), shard_items=10)
    submit(["x" * 10] * 400, tenant=new_tenant(weight=1), shard_items=10)
    assert sum(job == heavy for job in order(first=30)) in range(18, 23)


def test_an_idle_tenant_saves_up_no_credit() -> None:
    idle = new_tenant()
    submit(["x" * 10], tenant=idle)
    busy = submit(["x" * 10] * 1000, shard_items=10)
    put(must_take(items=500))
    submit(["x" * 10] * 400, tenant=idle, shard_items=10)
    assert order(first=40).count(busy) in range(18, 23)


@pytest.mark.parametrize(
    ("pool", "priority"),
    [("echo:other", Priority.NORMAL), ("echo:test", Priority.INTERACTIVE)],
    ids=["pool", "priority"],
)
def test_work_in_another_queue_does_not_count_against_a_tenant(pool: str, priority: Priority) -> None:
    other = new_tenant()
    submit(["x" * 10] * 1000, shard_items=10)
    submit(["x" * 10] * 1000, shard_items=10, pool=pool, priority=priority)
    submit(["x" * 10], tenant=other, pool=pool, priority=priority)
    small = submit(["x" * 10], tenant=other)
    more_urgent = 101 if priority is Priority.INTERACTIVE else 0
    assert small in order(first=more_urgent + 2)[more_urgent:]
