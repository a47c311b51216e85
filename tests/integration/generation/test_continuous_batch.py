"""Continuous batching: waiting requests replace finished ones, and each item ends once."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from lengthwise import database
from lengthwise.errors import Unavailable
from lengthwise.ledger.jobs import cancel
from lengthwise.states import Priority
from tests.fakes import WatchedContinuousEngine
from tests.integration.conftest import EngineInstaller
from tests.integration.generation.test_generate import fails_alone, is_echoed, texts
from tests.ledger import DEFAULT, POOL, counts, knobs, sql, state, submit
from worker.engine.echo import ContinuousEcho
from worker.engine.protocol import (
    Completion,
    EngineBatch,
    EngineError,
    EngineUnavailable,
    OutOfMemoryError,
    Request,
)
from worker.generation import continuous_batch, lease, pool_rotation
from worker.generation import pipeline as pipelines
from worker.process import Worker

pytestmark = pytest.mark.usefixtures("worker")


def once(step: int, then: Callable[[], object]) -> Callable[[int], None]:
    """Calls ``then`` before one step, counted from 1."""
    steps = 0

    def between(_: int) -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            then()

    return between


def failing(error: Exception) -> Callable[[], object]:
    def fail() -> None:
        raise error

    return fail


def sizes(engine: WatchedContinuousEngine) -> list[list[int]]:
    """For each batch, how many requests were added at a time."""
    return [[len(portion) for portion in batch] for batch in engine.started]


def test_jobs_share_a_batch_and_all_results_are_correct(install_engine: EngineInstaller, worker: Worker) -> None:
    engine = install_engine(WatchedContinuousEngine)
    sent = [texts(count, count) for count in (300, 1, 150)]
    jobs = [submit(each) for each in sent]
    worker.generate(POOL)
    assert all(is_echoed(job, each) for job, each in zip(jobs, sent, strict=True))
    assert len(engine.started) == 1
    assert engine.most_rows == 64
    assert sum(map(len, engine.portions)) == 451
    assert 451 / len(engine.portions) >= 5, "rows wait until their way in pays"


def test_new_work_joins_a_running_batch(
    install_engine: EngineInstaller, monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    monkeypatch.setattr(continuous_batch, "_PAUSE_SECONDS", 0)
    later: list[Any] = []
    engine = install_engine(
        partial(WatchedContinuousEngine, between=once(20, lambda: later.append(submit(["later"] * 3))))
    )
    first = submit(["a" * 100])
    worker.generate(POOL)
    assert is_echoed(later[0], ["later"] * 3)
    assert is_echoed(first, ["a" * 100])
    assert [len(portion) for portion in engine.portions] == [1, 1], "of three that are alike one is computed"
    assert engine.most_rows == 2


def test_a_batch_holds_at_most_the_models_batch_tokens(
    install_engine: EngineInstaller, monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    engine = install_engine(WatchedContinuousEngine)
    monkeypatch.setattr(worker.models.get("echo"), "batch_tokens", 220)
    sent = [*texts(200), "x" * 250]
    job = submit(sent)
    worker.generate(POOL)
    assert is_echoed(job, sent)
    tokens = sorted(sum(len(request.tokens) for request in portion) for portion in engine.portions)
    assert tokens[-1] == 250
    assert tokens[-2] <= 220


def test_interactive_work_runs_between_two_steps(
    install_engine: EngineInstaller, monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    monkeypatch.setattr(pipelines, "_QUICK_LOOK_SECONDS", 0)
    monkeypatch.setattr(pipelines, "_LOOK_SECONDS", 0)
    urgent: list[Any] = []
    answered: list[bool] = []

    def ask() -> None:
        urgent.append(submit(["urgent"], priority=Priority.INTERACTIVE))

    between = once(10, ask)

    def watched(rows: int) -> None:
        if rows == 2:  # the batch of the job, not the one of the urgent job
            answered.append(bool(urgent) and state(urgent[0]) == "completed")
        between(rows)

    engine = install_engine(partial(WatchedContinuousEngine, between=watched))
    job = submit(["a" * 100, "b" * 100])
    worker.generate(POOL)
    assert answered.index(True) == 10, "before the next step"
    assert sizes(engine) == [[2], [1]], "the urgent one in a batch of its own"
    assert is_echoed(job, ["a" * 100, "b" * 100])


def test_interactive_results_are_written_before_the_next_step(
    install_engine: EngineInstaller, monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    monkeypatch.setattr(pipelines, "_SETTLE_SECONDS", 600)
    whole_at: list[int] = []

    def between(rows: int) -> None:
        whole_at.append(state(urgent) == "completed")

    engine = install_engine(partial(WatchedContinuousEngine, between=between))
    job = submit(["later" * 2])
    urgent = submit(["urgent"], priority=Priority.INTERACTIVE)
    worker.generate(POOL)
    assert whole_at.index(True) == len("urgent"), "and the other one still writes"
    assert is_echoed(job, ["later" * 2])
    assert len(engine.started) == 1


@pytest.mark.parametrize("error", [EngineError("it broke"), OutOfMemoryError("too large")], ids=["broken", "memory"])
def test_items_of_a_failed_step_run_again_and_the_others_continue(
    install_engine: EngineInstaller, error: EngineError, worker: Worker
) -> None:
    engine = install_engine(partial(WatchedContinuousEngine, between=once(30, failing(error))))
    sent = texts(500)
    job = submit(sent)
    worker.generate(POOL)
    assert is_echoed(job, sent)
    assert counts(job)["failed"] == 0
    first, upper, lower, *rest = sizes(engine)
    assert len(upper) == len(lower) == 1, "by halves"
    assert len(first) + sum(map(len, rest)) > 2


def test_only_the_item_that_also_fails_alone_fails(install_engine: EngineInstaller, worker: Worker) -> None:
    def refuse(requests: Sequence[Request]) -> None:
        if any(len(request.tokens) == 33 for request in requests):
            raise EngineError("a request of that length")

    class Picky(WatchedContinuousEngine):
        def check(self, requests: Sequence[Request]) -> None:
            refuse(requests)
            super().check(requests)

    install_engine(Picky)
    sent = [each for each in texts(200) if len(each) != 33]
    sent.insert(100, "x" * 33)
    job = submit(sent)
    worker.generate(POOL)
    assert fails_alone(job, sent, 100, "engine_error")
    assert counts(job)["failed"] == 1


def test_requests_that_the_engine_forgets_run_again(install_engine: EngineInstaller, worker: Worker) -> None:
    forgotten: list[Completion] = []

    class SilentBatch(ContinuousEcho):
        """Drops the answers of eight tokens in its first batch."""

        def step(self) -> Sequence[Completion]:
            finished = super().step()
            if len(engine.started) > 1:
                return finished
            forgotten.extend(each for each in finished if len(each.tokens) == 8)
            return [each for each in finished if len(each.tokens) != 8]

    class Silent(WatchedContinuousEngine):
        def start(self) -> EngineBatch:
            super().start()
            return SilentBatch(self)

    engine = install_engine(Silent)
    sent = texts(100)
    assert any(len(each) == 8 for each in sent)
    job = submit(sent)
    worker.generate(POOL)
    assert is_echoed(job, sent)


def test_while_an_engine_is_away_its_work_waits_and_finished_answers_stay(
    install_engine: EngineInstaller, worker: Worker
) -> None:
    away = EngineUnavailable("away", retry_after=600)
    install_engine(partial(WatchedContinuousEngine, between=once(50, failing(away))))
    sent = texts(64)
    job = submit(sent, shard_items=1)
    worker.generate(POOL)
    assert 0 < counts(job)["succeeded"] < 64
    assert counts(job)["failed"] == 0
    assert sql("SELECT DISTINCT state, deaths FROM shards WHERE state <> 'done'") == [("ready", 0)]


def test_a_stopping_worker_admits_nothing_and_gives_the_rest_back(
    install_engine: EngineInstaller, worker: Worker
) -> None:
    engine = install_engine(partial(WatchedContinuousEngine, between=once(5, worker.shutdown.begin)))
    job = submit(["x" * 60 + str(number) for number in range(1000, 1200)])
    worker.generate(POOL)
    assert [len(portion) for portion in engine.portions] == [64]
    assert counts(job)["succeeded"] == 64
    assert set(sql("SELECT state, deaths FROM shards")) == {("done", 1), ("ready", 0)}


def test_items_of_a_cancelled_job_do_not_join_the_batch(
    install_engine: EngineInstaller, monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    def stop() -> None:
        with database.engine().begin() as connection:
            cancel.cancel(connection, job, DEFAULT)

    monkeypatch.setattr(lease, "_CHECK_SECONDS", 0)
    engine = install_engine(partial(WatchedContinuousEngine, between=once(5, stop)))
    job = submit(["x" * 60 + str(number) for number in range(1000, 1200)])
    worker.generate(POOL)
    assert [len(portion) for portion in engine.portions] == [64]
    assert counts(job)["cancelled"] == 200


def test_a_database_that_is_away_between_two_steps_loses_nothing(
    install_engine: EngineInstaller, monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    def is_away(*_: Any) -> None:
        raise Unavailable("the database is away")

    claim_more = worker.generator.claimer.claim_more
    install_engine(WatchedContinuousEngine)
    sent = texts(200)
    job = submit(sent)
    monkeypatch.setattr(worker.generator.claimer, "claim_more", is_away)
    worker.generate(POOL)
    assert counts(job)["succeeded"] == 0, "its lease must run out first"
    monkeypatch.setattr(worker.generator.claimer, "claim_more", claim_more)
    sql("UPDATE shards SET state = 'ready', token = NULL, lease_until = NULL WHERE state = 'leased'")
    worker.generate(POOL)
    assert is_echoed(job, sent)


@pytest.mark.parametrize("why", ["another pool's turn", "a new revision", "it remembers enough", "its time is over"])
def test_a_draining_batch_finishes_its_requests_and_admits_no_more(
    install_engine: EngineInstaller, monkeypatch: pytest.MonkeyPatch, why: str, worker: Worker
) -> None:
    engine = install_engine(WatchedContinuousEngine)
    match why:
        case "it remembers enough":
            monkeypatch.setattr(continuous_batch, "_MAX_PIECES", 64)
        case "its time is over":
            knobs(monkeypatch, continuous_batch_seconds=0.000001)
        case "a new revision":
            monkeypatch.setattr(worker.reload, "is_due", lambda: engine.most_rows > 0)
            monkeypatch.setattr(worker.reload, "run", lambda: setattr(engine, "most_rows", 0))
        case _:
            monkeypatch.setattr(pool_rotation, "_LOOK_SECONDS", 0)
            knobs(monkeypatch, turn_seconds=0.000001)
    sent = [texts(200), texts(200, 2)]
    jobs = [submit(each, pool=pool) for each, pool in zip(sent, (POOL, "echo:other"), strict=True)]
    worker.generate(POOL)
    assert all(is_echoed(job, each) for job, each in zip(jobs, sent, strict=True))
    assert len(engine.started) > 2


def a_suspect_comes() -> None:
    submit(["a suspect"])
    sql("UPDATE shards SET deaths = 1, priority = 0 WHERE n_tokens = 9")


def test_a_suspect_waits_for_the_running_batch_and_joins_none(
    install_engine: EngineInstaller, monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    monkeypatch.setattr(pool_rotation, "_LOOK_SECONDS", 0)
    engine = install_engine(partial(WatchedContinuousEngine, between=once(5, a_suspect_comes)))
    job = submit(["x" * 60 + str(number) for number in range(1000, 1200)])
    worker.generate(POOL)
    assert counts(job)["succeeded"] == 200
    before, alone, after = sizes(engine)
    assert alone == [1], "by itself"
    assert sum(before) < 200, "before what came before it"
    assert sum(before) + sum(after) == 200


def test_shards_that_have_not_begun_let_a_suspect_go_first(
    install_engine: EngineInstaller, monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    """The batch holds more than it can run at once, because its model has run out of memory."""

    monkeypatch.setattr(pool_rotation, "_LOOK_SECONDS", 0)
    engine = install_engine(partial(WatchedContinuousEngine, between=once(5, a_suspect_comes)))
    model = worker.models.get("echo")
    job = submit(["x" * 60 + str(number) for number in range(1000, 1064)], shard_items=8)
    monkeypatch.setattr(type(model), "grow", lambda _: setattr(model, "batch_tokens", 200))
    worker.generate(POOL)
    assert counts(job)["succeeded"] == 64
    before, alone, *after = sizes(engine)
    assert alone == [1], "by itself"
    assert sum(before) == 8, "the shard that had begun"
    assert sum(map(sum, after)) == 56
