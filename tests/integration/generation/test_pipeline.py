"""The pipeline, which claims ahead and settles behind: no lease outlives the work on its shards."""

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
from worker.generation.distance import Distance
from worker.generation.models import LoadedModel
from worker.generation.pipeline import Pipeline
from worker.generation.work import Work
from worker.process import Worker

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def _near_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy this machine is: with a far database, urgent work is found one step later."""
    monkeypatch.setattr(Distance, "is_far", False)


def is_away(*_: Any) -> None:
    raise Unavailable("the database is away")


def leases_alive() -> int:
    return sum(thread.name == "heartbeat" for thread in living_threads())


def next_of(pipeline: Pipeline, priority: Priority = Priority.NORMAL) -> PreparedClaim:
    """A claim of one new item, with an engine slow enough for settling behind."""
    submit([priority.name], priority=priority)  # different texts, because the answer cache would answer repeated ones
    prepared = pipeline.next()
    assert prepared is not None
    prepared.model.engine_seconds = 1
    return prepared


def test_after_a_failed_settlement_no_later_claim_keeps_its_lease(
    monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    monkeypatch.setattr(settlement, "write", is_away)
    with pytest.raises(Unavailable), worker.generator.pipeline(worker.generator.rotation(POOL)) as pipeline:
        for _ in range(5):
            pipeline.finish(next_of(pipeline))
    assert leases_alive() == 0


def test_after_a_failed_settlement_no_suspect_keeps_its_lease(monkeypatch: pytest.MonkeyPatch, worker: Worker) -> None:
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


@pytest.mark.usefixtures("_near_database")
@pytest.mark.parametrize("pool", [POOL, "echo:other"])
def test_interactive_work_runs_between_two_batches_of_an_earlier_claim(
    monkeypatch: pytest.MonkeyPatch, worker: Worker, pool: str
) -> None:
    monkeypatch.setattr(pipelines, "_QUICK_LOOK_SECONDS", 0)
    ran: list[int] = []
    runner = worker.generator.runner
    attempt = runner.attempt

    def once_submitting(work: Work, model: LoadedModel, indexes: list[int]) -> BatchOutcome:
        if not ran:
            submit(["urgent"], pool=pool, priority=Priority.INTERACTIVE)
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


@pytest.mark.usefixtures("_near_database")
@pytest.mark.parametrize("pool", [POOL, "echo:other"])
@pytest.mark.parametrize("is_nested", [False, True])
def test_a_caller_does_not_wait_for_the_end_of_a_long_urgent_claim(
    monkeypatch: pytest.MonkeyPatch, worker: Worker, pool: str, is_nested: bool
) -> None:
    monkeypatch.setattr(pipelines, "_QUICK_LOOK_SECONDS", 0)
    monkeypatch.setattr(pipelines, "_SHARE_SECONDS", 0)
    monkeypatch.setattr(PreparedClaim, "is_short", property(lambda each: len(each.work.pieces) == 1))
    ran: list[str] = []
    runner, model = worker.generator.runner, worker.models.get("echo")
    attempt = runner.attempt
    monkeypatch.setattr(model, "batch_tokens", 2)

    def run(work: Work, model: LoadedModel, indexes: list[int]) -> BatchOutcome:
        text = work.pieces[indexes[0]].item.job_item.texts()[0]
        if text == "an earlier text of no hurry":
            submit(["one word!", "two words", "three words"], priority=Priority.INTERACTIVE)
        if text == "one word!":
            submit(["y" * 40, "z" * 41], pool=pool, priority=Priority.INTERACTIVE)
            submit(["urgent"], pool=pool, priority=Priority.INTERACTIVE)
        ran.append(text)
        return attempt(work, model, indexes)

    monkeypatch.setattr(runner, "attempt", run)
    earlier = ["an earlier text of no hurry", "another text of no hurry"]
    if is_nested:
        submit(earlier)
    else:
        submit(["one word!", "two words", "three words"], priority=Priority.INTERACTIVE)
    worker.generate(POOL)
    ran = [text for text in ran if text not in earlier]
    assert ran == ["one word!", "urgent", "two words", "three words", "y" * 40, "z" * 41]
    assert sql("SELECT DISTINCT state FROM shards") == [("done",)]
    assert leases_alive() == 0


@pytest.mark.usefixtures("_near_database")
def test_pools_with_urgent_work_take_turns(worker: Worker) -> None:
    worker.models.get("echo")
    for number in range(3):
        submit([f"many {number}" + "x" * 400] * 9, priority=Priority.INTERACTIVE)
    submit(["one"], pool="echo:other", priority=Priority.INTERACTIVE)
    taken = [worker.generator.claimer.prepare_urgent() for _ in range(2)]
    assert {each.pool for each in taken if each} == {POOL, "echo:other"}
    for each in filter(None, taken):
        claiming.give_back(each)


def test_no_urgent_work_starts_while_the_worker_holds_a_suspect(
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


def test_an_interactive_claim_is_at_most_one_batch() -> None:
    submit(["urgent"], priority=Priority.INTERACTIVE)
    for _ in range(10):
        submit(["later"] * 20)
    claimed = must_take(tokens=10_000, items=256, batch_items=64)
    assert len(claimed.items) == 61


def test_claimed_work_runs_although_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, worker: Worker
) -> None:
    with worker.generator.pipeline(worker.generator.rotation(POOL)) as pipeline:
        prepared = next_of(pipeline)
        monkeypatch.setattr(pipelines, "_LOOK_SECONDS", 0)
        monkeypatch.setattr(worker.generator.claimer, "prepare_urgent", is_away)
        assert pipeline.more_urgent(prepared) is None
        claiming.give_back(prepared)
    assert "the database is away" in caplog.text


def test_interactive_results_are_written_before_anything_else_starts(worker: Worker) -> None:
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


def test_a_lease_ends_even_if_its_shards_cannot_be_given_back(monkeypatch: pytest.MonkeyPatch, worker: Worker) -> None:
    """Otherwise the lease would be renewed for ever, and nobody could run its items."""

    submit(["abc"] * 10)
    prepared = worker.generator.claimer.prepare(worker.generator.rotation(POOL))
    assert prepared is not None
    monkeypatch.setattr(leases, "release", is_away)
    with pytest.raises(Unavailable):
        claiming.give_back(prepared)
    assert not prepared.lease._thread.is_alive()


@pytest.mark.timeout(60)
def test_a_pool_of_suspects_alone_is_left_to_a_worker_that_holds_nothing(worker: Worker) -> None:
    submit(["abc"])
    submit(["abc"], pool="echo:other")
    sql("UPDATE shards SET deaths = 1")
    assert worker.generator.claimer.prepare(worker.generator.rotation(POOL), with_suspects=False) is None
    worker.generate(POOL)
    assert sql("SELECT DISTINCT state FROM shards") == [("done",)]


def test_a_suspect_is_not_passed_over_while_other_work_waits(monkeypatch: pytest.MonkeyPatch, worker: Worker) -> None:
    """Claims ahead leave it out. It runs, alone, as soon as it is the first."""
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
