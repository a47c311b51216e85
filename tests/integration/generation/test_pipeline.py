"""Claims, and the pipeline that makes them ahead and settles behind: no lease outlives the work on what it holds."""

from threading import Event
from threading import enumerate as living_threads
from typing import Any

import pytest

from lengthwise.errors import Unavailable
from lengthwise.ledger.queue import lease as leases
from lengthwise.states import Priority
from tests.ledger import POOL, must_take, sql, submit
from worker.generation import claiming, pool_rotation, settlement
from worker.generation import pipeline as pipelines
from worker.generation.batch import BatchOutcome
from worker.generation.claiming import PreparedClaim
from worker.generation.models import LoadedModel
from worker.generation.pipeline import Pipeline
from worker.generation.work import Work
from worker.process import Worker

pytestmark = pytest.mark.usefixtures("worker")


def is_away(*_: Any) -> None:
    raise Unavailable("the database is away")


def leases_alive() -> int:
    return sum(thread.name == "heartbeat" for thread in living_threads())


def next_of(pipeline: Pipeline, priority: Priority = Priority.NORMAL) -> PreparedClaim:
    """A claim of one new item, whose engine is worth settling behind."""
    submit([priority.name], priority=priority)  # texts of their own, or the memory would answer
    prepared = pipeline.next()
    assert prepared is not None
    prepared.model.engine_seconds = 1
    return prepared


def test_a_settlement_that_failed_keeps_no_later_claim_alive(monkeypatch: pytest.MonkeyPatch, worker: Worker) -> None:
    monkeypatch.setattr(settlement, "write", is_away)
    with pytest.raises(Unavailable), worker.generator.pipeline(worker.generator.rotation(POOL)) as pipeline:
        for _ in range(5):
            pipeline.finish(next_of(pipeline))
    assert leases_alive() == 0


def test_a_settlement_that_failed_keeps_no_suspect_alive(monkeypatch: pytest.MonkeyPatch, worker: Worker) -> None:
    with worker.generator.pipeline(worker.generator.rotation(POOL)) as pipeline:
        first = next_of(pipeline)
        submit(["a suspect"])
        sql("UPDATE shards SET deaths = 1, priority = 0 WHERE state = 'ready'")
        monkeypatch.setattr(settlement, "write", is_away)
        pipeline.finish(first)
        with pytest.raises(Unavailable):
            pipeline.next()
    assert leases_alive() == 0
    assert sql("SELECT state, deaths FROM shards ORDER BY deaths") == [("ready", 0), ("ready", 1)]


def test_what_somebody_waits_for_runs_between_two_batches_of_what_was_claimed_before(
    monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    monkeypatch.setattr(pipelines, "_QUICK_LOOK_SECONDS", 0)
    ran: list[int] = []
    runner = worker.generator.runner
    attempt = runner.attempt

    def once_submitting(work: Work, model: LoadedModel, indexes: list[int]) -> BatchOutcome:
        if not ran:
            submit(["urgent"], priority=Priority.INTERACTIVE)
        ran.append(len(work.pieces[indexes[0]].prompt.tokens))
        return attempt(work, model, indexes)

    monkeypatch.setattr(runner, "attempt", once_submitting)
    model = worker.models.get("echo")
    monkeypatch.setattr(model, "batch_tokens", 2)
    submit(["one word", "two words", "three words"])
    worker.generate(POOL)
    assert ran == [len("one word"), len("urgent"), len("two words"), len("three words")]
    assert sql("SELECT DISTINCT state FROM shards") == [("done",)]
    assert leases_alive() == 0


def test_nothing_more_urgent_is_begun_while_a_suspect_is_in_hand(
    monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    monkeypatch.setattr(pipelines, "_QUICK_LOOK_SECONDS", 0)
    submit(["a suspect"])
    sql("UPDATE shards SET deaths = 1")
    with worker.generator.pipeline(worker.generator.rotation(POOL)) as pipeline:
        suspect = pipeline.next()
        assert suspect is not None
        submit(["urgent"], priority=Priority.INTERACTIVE)
        assert pipeline.more_urgent(suspect) is None
        claiming.give_back(suspect)


def test_a_claim_that_somebody_waits_for_is_a_batch_and_no_more() -> None:
    submit(["urgent"], priority=Priority.INTERACTIVE)
    for _ in range(10):
        submit(["later"] * 20)
    claimed = must_take(tokens=10_000, items=256, batch_items=64)
    assert len(claimed.items) == 61


def test_a_database_that_is_away_keeps_nothing_in_hand_from_running(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, worker: Worker
) -> None:
    with worker.generator.pipeline(worker.generator.rotation(POOL)) as pipeline:
        prepared = next_of(pipeline)
        monkeypatch.setattr(pipelines, "_LOOK_SECONDS", 0)
        monkeypatch.setattr(worker.generator.claimer, "prepare_urgent", is_away)
        assert pipeline.more_urgent(prepared) is None
        claiming.give_back(prepared)
    assert "the database is away" in caplog.text


def test_what_somebody_waits_for_is_written_before_anything_else_is_begun(worker: Worker) -> None:
    is_free, taken, runner = Event(), [], worker.generator.runner
    with worker.generator.pipeline(worker.generator.rotation(POOL)) as pipeline:
        pipeline._threads[1].submit(is_free.wait, 30)
        for priority in (Priority.NORMAL, Priority.INTERACTIVE):
            prepared = next_of(pipeline, priority)
            outcome = runner.attempt(prepared.work, prepared.model, [0])
            runner.take(prepared.work, prepared.model, [0], outcome)
            prepared.model.engine_seconds = 1
            pipeline.settle(prepared, prepared.work.take_finished())
            taken.append(prepared)
        written = sql("SELECT priority FROM shards WHERE state = 'done'")
        is_free.set()
        for prepared in taken:
            pipeline.finish(prepared)
    assert written == [(Priority.INTERACTIVE,)]
    assert sql("SELECT DISTINCT state FROM shards") == [("done",)]


def test_a_lease_ends_though_what_it_holds_cannot_be_given_back(
    monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    """Or it would be renewed for ever, and its items be nobody's."""

    submit(["abc"] * 10)
    prepared = worker.generator.claimer.prepare(worker.generator.rotation(POOL))
    assert prepared is not None
    monkeypatch.setattr(leases, "release", is_away)
    with pytest.raises(Unavailable):
        claiming.give_back(prepared)
    assert not prepared.lease._thread.is_alive()


@pytest.mark.timeout(60)
def test_pools_in_which_suspects_alone_wait_are_left_to_who_holds_nothing(worker: Worker) -> None:
    submit(["abc"])
    submit(["abc"], pool="echo:other")
    sql("UPDATE shards SET deaths = 1")
    assert worker.generator.claimer.prepare(worker.generator.rotation(POOL), with_suspects=False) is None
    worker.generate(POOL)
    assert sql("SELECT DISTINCT state FROM shards") == [("done",)]


def test_a_suspect_is_not_passed_over_for_as_long_as_something_else_waits(
    monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    """Claims ahead leave it out; it has its turn, alone, as soon as it is the first."""
    monkeypatch.setattr(pool_rotation, "_LOOK_SECONDS", 0)
    suspect = submit(["abc"])
    submit(["abc"] * 100)
    sql("UPDATE shards SET deaths = 1 WHERE job_id = :job", job=suspect)
    working = worker.generator.rotation(POOL)
    assert worker.generator.claimer.prepare(working, with_suspects=False) is None
    prepared = worker.generator.claimer.prepare(working)
    assert prepared is not None
    assert prepared.is_suspect
    after = worker.generator.claimer.prepare(working, with_suspects=False)
    assert after is not None
    assert not after.is_suspect
    for each in (prepared, after):
        claiming.give_back(each)
