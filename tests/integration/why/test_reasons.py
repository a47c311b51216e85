"""Each reason why a job is not done, set up by real submissions, claims and settlements."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from lengthwise import database
from lengthwise.ledger.jobs import cancel
from lengthwise.ledger.queue import lease, sweep
from lengthwise.ledger.why import facts
from lengthwise.states import NOT_NAMED, Priority, Reason
from tests.integration.why.crew import failed, loaded, reason_of, seen
from tests.ledger import (
    DEFAULT,
    let_leases_run_out,
    must_take,
    new_tenant,
    put,
    sql,
    submit,
)

pytestmark = pytest.mark.usefixtures("installed")

TEXTS = ["x" * 10] * 4


def expire_leases() -> None:
    let_leases_run_out()
    with database.engine().begin() as connection:
        sweep.expire_leases(connection, max_deaths=3)


def put_off(seconds: float, *, counted: bool) -> None:
    claimed = must_take()
    with database.engine().begin() as connection:
        lease.delay(connection, claimed.token, claimed.shard_ids, seconds, counted=counted)


def in_seconds(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def test_without_any_worker_nothing_runs() -> None:
    found = reason_of(submit(TEXTS))
    assert (found.reason, found.workers, found.since) == (Reason.NO_WORKER, 0, None)


@pytest.mark.parametrize(("ago", "is_seen"), [(10, True), (20, False)])
def test_a_worker_that_is_silent_for_fifteen_seconds_is_none(ago: float, is_seen: bool) -> None:
    seen(ago=ago)
    found = reason_of(submit(TEXTS))
    assert (found.reason is Reason.NO_WORKER) is not is_seen
    assert found.workers == 1


def test_a_frozen_worker_is_seen_before_its_lease_runs_out() -> None:
    job = submit(TEXTS)
    must_take(lease_seconds=30)
    seen(state="working", ago=16)
    assert reason_of(job).reason is Reason.NO_WORKER


@pytest.mark.parametrize(("role", "state"), [("generate", "stopping"), ("deliver", "idle")])
def test_a_worker_that_claims_nothing_is_none(role: str, state: str) -> None:
    seen(role, state)
    assert reason_of(submit(TEXTS)).reason is Reason.NO_WORKER


@pytest.mark.parametrize("n_workers", [0, 1, 2, 5])
def test_a_job_runs_while_workers_hold_its_shards(n_workers: int) -> None:
    """Two leases are held by two workers at most. A worker that describes itself nowhere renews them too."""
    for _ in range(n_workers):
        seen(state="working")
    job = submit(TEXTS, shard_items=1)
    must_take(items=1), must_take(items=1)
    found = reason_of(job)
    assert found.reason is Reason.RUNNING
    assert found.workers == {0: 2, 1: 1}.get(n_workers, 2)


def test_a_job_that_is_settled_in_part_runs_or_waits_like_any_other() -> None:
    seen(state="working"), seen("deliver")
    job = submit(TEXTS, shard_items=1)
    put(must_take(items=1))
    assert reason_of(job).reason is Reason.NEXT


def test_a_model_that_no_worker_could_load_is_named_with_the_newest_cause() -> None:
    seen(models=[failed("its folder is missing"), loaded("other")])
    seen(models=[failed("its tokenizer is missing", at="2031-01-31T13:00:00+00:00")])
    found = reason_of(submit(TEXTS))
    assert (found.reason, found.model, found.cause) == (Reason.MODEL_NOT_SERVED, "echo", "its tokenizer is missing")
    assert (found.workers, found.since) == (2, datetime(2031, 1, 31, 12, tzinfo=UTC))


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        (failed("its folder is missing"), loaded(), Reason.NEXT),
        (failed(NOT_NAMED), loaded(), Reason.NEXT),
        (failed(NOT_NAMED), None, Reason.MODEL_UNKNOWN),
        (failed(NOT_NAMED), failed(NOT_NAMED), Reason.MODEL_UNKNOWN),
        (failed(NOT_NAMED), failed("its folder is missing"), Reason.MODEL_NOT_SERVED),
        (failed("its folder is missing", name="other"), None, Reason.NEXT),
    ],
)
def test_a_model_that_one_worker_serves_is_served(own: Any, other: Any, expected: Reason) -> None:
    seen(models=[own]), seen("deliver")
    if other:
        seen(models=[other])
    assert reason_of(submit(TEXTS)).reason is expected


def test_the_failure_of_a_dead_worker_does_not_count() -> None:
    seen(models=[failed("its folder is missing")], ago=60)
    seen(models=[loaded()]), seen("deliver")
    assert reason_of(submit(TEXTS)).reason is Reason.NEXT


@pytest.mark.parametrize(
    ("pauses", "expected"),
    [((30,), Reason.ENGINE_PAUSED), ((30, 60), Reason.ENGINE_PAUSED), ((30, None), Reason.NEXT), ((-1,), Reason.NEXT)],
)
def test_an_engine_is_paused_if_it_is_at_every_worker(pauses: tuple[float | None, ...], expected: Reason) -> None:
    seen("deliver")
    ends = [None if seconds is None else in_seconds(seconds) for seconds in pauses]
    for until in ends:
        seen(models=[loaded(paused_until=until, paused_for=until and "the server does not answer")])
    found = reason_of(submit(TEXTS))
    assert found.reason is expected
    if expected is Reason.ENGINE_PAUSED:
        assert found.until and found.until.isoformat() == ends[0]
        assert found.cause == "the server does not answer"


@pytest.mark.parametrize("counted", [True, False])
def test_shards_that_were_put_off_are_retried(counted: bool) -> None:
    seen(), seen("deliver")
    job = submit(TEXTS)
    put_off(60, counted=counted)
    found = reason_of(job)
    assert (found.reason, found.attempts) == (Reason.RETRYING, int(counted))
    [(due,)] = sql("SELECT not_before FROM shards")
    assert found.until == due


def test_what_is_put_off_does_not_matter_while_other_shards_may_be_claimed() -> None:
    seen(), seen("deliver")
    job = submit(TEXTS, shard_items=2)
    claimed = must_take(items=2)
    with database.engine().begin() as connection:
        lease.delay(connection, claimed.token, claimed.shard_ids, 60)
    assert reason_of(job).reason is Reason.NEXT


def test_a_job_over_which_a_worker_died_is_bisected() -> None:
    seen(), seen("deliver")
    job = submit(TEXTS)
    must_take()
    let_leases_run_out()
    assert reason_of(job).reason is Reason.BISECTING, "the sweep is about to take it back"
    expire_leases()
    found = reason_of(job)
    assert (found.reason, found.deaths) == (Reason.BISECTING, 1)
    must_take()
    found = reason_of(job)
    assert (found.reason, found.deaths) == (Reason.BISECTING, 1), "one half runs alone"


def test_a_dead_workers_shards_need_a_delivery_worker() -> None:
    seen()
    job = submit(TEXTS)
    must_take()
    let_leases_run_out()
    assert reason_of(job).reason is Reason.NO_DELIVERY_WORKER


@pytest.mark.parametrize(
    ("pool", "n_ahead"), [("echo:test", 2), ("echo:other", 0)], ids=["in the same queue", "in another one"]
)
def test_more_urgent_work_comes_first(pool: str, n_ahead: int) -> None:
    seen(), seen("deliver")
    job = submit(TEXTS)
    submit(TEXTS, pool=pool, priority=Priority.INTERACTIVE, shard_items=2)
    found = reason_of(job)
    assert (found.reason, found.n_ahead) == (Reason.BEHIND_URGENT, n_ahead)


def test_a_job_behind_others_knows_its_place() -> None:
    seen(), seen("deliver")
    for tenant in (new_tenant(), new_tenant(weight=2)):
        submit(["x" * 100] * 2, tenant=tenant, shard_items=1)
    submit(["x" * 10] * 3, shard_items=1)  # the same tenant's earlier job
    job = submit(TEXTS, shard_items=4)
    found = reason_of(job)
    assert (found.reason, found.is_beyond) == (Reason.BEHIND_OTHERS, False)
    # One of two shards of each of the others, because their tags rise with their tokens, and three of its own tenant.
    assert (found.n_ahead, found.n_tokens_ahead) == (5, 230)
    assert (found.n_tenants_ahead, found.share) == (3, 0.25)


def test_what_comes_before_a_job_is_what_is_claimed_before_it() -> None:
    seen(), seen("deliver")
    jobs = [submit(["x" * 10] * 3, tenant=new_tenant(), shard_items=1) for _ in range(5)]
    while sql("SELECT FROM shards WHERE state = 'ready'"):
        for job in jobs:
            if not sql("SELECT FROM shards WHERE job_id = :job AND state = 'ready'", job=job):
                continue
            before = sql(
                """SELECT count(*) FROM shards WHERE state = 'ready' AND job_id <> :job AND (vkey, id) <
                   (SELECT vkey, id FROM shards WHERE job_id = :job AND state = 'ready' ORDER BY vkey, id LIMIT 1)""",
                job=job,
            )[0][0]
            found = reason_of(job)
            if found.reason is not Reason.RUNNING:
                assert found.n_ahead == before
        put(must_take(items=1))


def test_a_job_far_behind_is_at_least_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "MOST_AHEAD", 10)
    seen(), seen("deliver")
    submit(["x" * 10] * 20, shard_items=1)
    found = reason_of(submit(TEXTS))
    assert (found.reason, found.n_ahead, found.is_beyond) == (Reason.BEHIND_OTHERS, 10, True)


def test_pools_take_turns() -> None:
    seen(), seen("deliver")
    job = submit(TEXTS)
    submit(TEXTS, pool="other:test")
    found = reason_of(job)
    assert (found.reason, found.n_ahead, found.n_other_pools) == (Reason.BEHIND_OTHERS, 0, 1)


def test_work_of_another_pool_that_is_put_off_comes_before_nothing() -> None:
    seen(), seen("deliver")
    submit(TEXTS)
    put_off(60, counted=True)
    assert reason_of(submit(TEXTS, pool="other:test")).reason is Reason.NEXT


@pytest.mark.parametrize(
    ("state", "delivers", "expected"),
    [("idle", True, Reason.NEXT), ("working", False, Reason.NEXT), ("idle", False, Reason.NO_DELIVERY_WORKER)],
)
def test_a_job_that_is_next_needs_somebody_who_rings(state: str, delivers: bool, expected: Reason) -> None:
    seen(state=state)
    if delivers:
        seen("deliver")
    found = reason_of(submit(TEXTS))
    assert (found.reason, found.is_busy) == (expected, state == "working")


def test_a_job_whose_end_was_missed_is_ending() -> None:
    seen(), seen("deliver")
    job = submit(TEXTS)
    sql("UPDATE shards SET state = 'done'")
    assert (reason_of(job).reason, reason_of(job).n_delivering) == (Reason.ENDING, 1)


def ended(webhook: tuple[str, str] | None = None) -> UUID:
    job = submit(TEXTS, webhook=webhook)
    put(must_take())
    return job


def test_a_job_that_ended_has_ended() -> None:
    found = reason_of(ended())
    assert (found.reason, found.since is not None) == (Reason.ENDED, True)


HOOK = ("http://receiver.example/", "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


@pytest.mark.parametrize("delivers", [True, False])
def test_a_job_that_ended_may_have_webhooks_to_send(delivers: bool) -> None:
    if delivers:
        seen("deliver")
    found = reason_of(ended(HOOK))
    assert (found.reason, found.n_webhooks, found.n_delivering) == (Reason.DELIVERING, 1, int(delivers))


def test_a_webhook_that_failed_says_what_the_receiver_answered() -> None:
    job = ended(HOOK)
    sql("UPDATE deliveries SET attempts = 2, next_attempt_at = now() + interval '1 hour'")
    sql(
        "INSERT INTO attempts (delivery_id, n, started_at, seconds, status)"
        " SELECT id, n, now(), 1, 500 + n FROM deliveries CROSS JOIN generate_series(1, 2) n"
    )
    found = reason_of(job)
    assert (found.attempts, found.status, found.n_sending) == (2, 502, 0)
    [(due,)] = sql("SELECT next_attempt_at FROM deliveries")
    assert found.until == due


def test_a_webhook_that_was_sent_is_over() -> None:
    job = ended(HOOK)
    sql("UPDATE deliveries SET state = 'delivered', finished_at = now()")
    assert reason_of(job).reason is Reason.ENDED


def test_a_cancelled_job_has_ended() -> None:
    job = submit(TEXTS)
    with database.engine().begin() as connection:
        cancel.cancel(connection, job, DEFAULT)
    assert reason_of(job).reason is Reason.ENDED


@pytest.mark.parametrize(
    ("begin", "expected"),
    [
        (lambda: must_take("echo:test"), Reason.RUNNING),
        (lambda: None, Reason.MODEL_NOT_SERVED),
    ],
    ids=["one of its pools runs", "none of its pools runs"],
)
def test_of_several_pools_the_first_reason_counts(begin: Callable[[], object], expected: Reason) -> None:
    seen(models=[loaded(), failed("its folder is missing", "other")]), seen("deliver")
    job = submit(TEXTS, shard_items=2)
    sql("UPDATE shards SET pool = 'other:test' WHERE lo > 0 AND job_id = :job", job=job)
    begin()
    found = reason_of(job)
    assert (found.reason, found.model) == (expected, "echo" if expected is Reason.RUNNING else "other")


def test_a_strange_row_of_a_worker_breaks_nothing() -> None:
    seen(models=[{"name": "echo"}, {"name": "echo", "state": "loaded", "paused_until": "soon"}]), seen("deliver")
    assert reason_of(submit(TEXTS)).reason is Reason.NEXT
    assert reason_of(submit(TEXTS, pool=f"{uuid4()}")).reason is Reason.BEHIND_OTHERS
