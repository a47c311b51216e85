"""A job whose deadline nears moves to a more urgent queue, and is served fairly there."""

from uuid import UUID

import pytest

from lengthwise import database
from lengthwise.ledger.queue import urgency
from lengthwise.states import Priority
from tests.ledger import jobs_in, let_leases_run_out, must_take, new_tenant, put, sql, state, submit

pytestmark = pytest.mark.usefixtures("installed")


def with_time_left(job: UUID, share: float) -> None:
    """Sets the job's times: ten hours from submission to deadline, of which this share is left."""
    sql(
        "UPDATE jobs SET deadline_at = now() + make_interval(hours => 10) * :share,"
        " created_at = now() - make_interval(hours => 10) * (1 - :share) WHERE id = :job",
        job=job,
        share=share,
    )


def raised() -> int:
    with database.engine().begin() as connection:
        return urgency.raise_priorities(connection)


def priorities(job: UUID) -> set[int]:
    return {row[0] for row in sql("SELECT priority FROM shards WHERE job_id = :job", job=job)}


@pytest.mark.parametrize(
    ("own", "share", "then"),
    [
        (Priority.BACKGROUND, 0.6, Priority.BACKGROUND),
        (Priority.BACKGROUND, 0.4, Priority.NORMAL),
        (Priority.BACKGROUND, 0.2, Priority.INTERACTIVE),
        (Priority.NORMAL, 0.4, Priority.NORMAL),
        (Priority.NORMAL, 0.2, Priority.INTERACTIVE),
        (Priority.INTERACTIVE, 0.2, Priority.INTERACTIVE),
    ],
    ids=lambda value: value.name if isinstance(value, Priority) else str(value),
)
def test_the_priority_rises_as_the_deadline_nears(own: Priority, share: float, then: Priority) -> None:
    job = submit(["x" * 10] * 5, priority=own, shard_items=2)
    with_time_left(job, share)
    assert raised() == (own != then)
    assert priorities(job) == {then}
    assert raised() == 0
    assert sql("SELECT priority FROM jobs") == [(own,)], "what the caller asked for is still what the job says"


def test_a_job_without_a_deadline_keeps_its_priority() -> None:
    submit(["x" * 10], priority=Priority.BACKGROUND)
    assert raised() == 0


def test_a_raised_job_runs_before_one_that_was_not_raised() -> None:
    submit(["x" * 10] * 100, shard_items=10)
    late = submit(["x" * 10] * 20, priority=Priority.BACKGROUND, shard_items=10)
    with_time_left(late, 0.1)
    assert raised() == 1
    assert jobs_in(must_take(items=20)) == [late] * 20


def test_a_raised_job_shares_its_new_queue_fairly() -> None:
    other = submit(["x" * 10] * 100, tenant=new_tenant(), shard_items=10)
    late = submit(["x" * 10] * 100, priority=Priority.BACKGROUND, shard_items=10)
    with_time_left(late, 0.4)
    assert raised() == 1
    first = [jobs_in(must_take(items=1))[0] for _ in range(10)]
    assert first.count(late) in (4, 5, 6)
    assert first.count(other) == 10 - first.count(late)


def test_a_leased_shard_is_raised_in_case_it_comes_back() -> None:
    late = submit(["x" * 10], priority=Priority.BACKGROUND)
    held = must_take()
    with_time_left(late, 0.1)
    assert raised() == 1
    assert put(held).shard_ids == frozenset(held.shard_ids)
    assert state(late) == "completed"
    again = submit(["x" * 10], priority=Priority.BACKGROUND)
    must_take()
    with_time_left(again, 0.1)
    assert raised() == 1
    let_leases_run_out()
    assert priorities(again) == {Priority.INTERACTIVE}
