"""A batch that others join while it runs: what waits takes the place of what ends, and each item ends once."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest

from lengthwise import database
from lengthwise.errors import Unavailable
from lengthwise.ledger.jobs import cancel
from lengthwise.states import Priority
from tests.fakes import OpenEcho
from tests.integration.conftest import Give
from tests.integration.generation.test_generate import fails_alone, is_echoed, texts
from tests.ledger import DEFAULT, POOL, counts, knobs, sql, state, submit
from worker import shutdown
from worker.engine.protocol import Completion, EngineError, EngineUnavailable, OutOfMemoryError, Request, Source
from worker.generation import claiming, continuous_batch, lease, model_reload, models, pool_rotation
from worker.generation import generate as task
from worker.generation import pipeline as pipelines

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


def test_jobs_join_each_others_batch_and_all_of_it_comes_right(give: Give) -> None:
    engine = give(OpenEcho)
    sent = [texts(count, count) for count in (300, 1, 150)]
    jobs = [submit(each) for each in sent]
    task.generate(POOL)
    assert all(is_echoed(job, each) for job, each in zip(jobs, sent, strict=True))
    assert (engine.n_opened, engine.batches) == (1, [])
    assert engine.most_rows == 64
    assert sum(map(len, engine.joined)) == 451
    assert 451 / len(engine.joined) >= 5, "rows wait until their way in pays"


def test_what_comes_while_a_batch_runs_joins_it(give: Give, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continuous_batch, "_PAUSE_SECONDS", 0)
    later: list[Any] = []
    engine = give(partial(OpenEcho, between=once(20, lambda: later.append(submit(["later"] * 3)))))
    first = submit(["a" * 100])
    task.generate(POOL)
    assert is_echoed(later[0], ["later"] * 3)
    assert is_echoed(first, ["a" * 100])
    assert [len(portion) for portion in engine.joined] == [1, 1], "of three that are alike one is computed"
    assert engine.most_rows == 2


def test_a_batch_holds_no_more_tokens_than_the_model_says(give: Give, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = give(OpenEcho)
    monkeypatch.setattr(models.model("echo"), "batch_tokens", 220)
    sent = [*texts(200), "x" * 250]
    job = submit(sent)
    task.generate(POOL)
    assert is_echoed(job, sent)
    tokens = sorted(sum(len(request.tokens) for request in portion) for portion in engine.joined)
    assert tokens[-1] == 250
    assert tokens[-2] <= 220


def test_what_somebody_waits_for_runs_between_two_steps(give: Give, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines, "_QUICK_LOOK_SECONDS", 0)
    monkeypatch.setattr(pipelines, "_LOOK_SECONDS", 0)
    urgent: list[Any] = []
    answered: list[bool] = []

    def ask() -> None:
        urgent.append(submit(["urgent"], priority=Priority.INTERACTIVE))

    between = once(10, ask)

    def watched(rows: int) -> None:
        answered.append(bool(urgent) and state(urgent[0]) == "completed")
        between(rows)

    engine = give(partial(OpenEcho, between=watched))
    job = submit(["a" * 100, "b" * 100])
    task.generate(POOL)
    assert answered.index(True) == 10, "before the next step"
    assert [len(batch) for batch in engine.batches] == [1]
    assert is_echoed(job, ["a" * 100, "b" * 100])


def test_what_somebody_waits_for_is_written_before_the_next_step(give: Give, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines, "_SETTLE_SECONDS", 600)
    whole_at: list[int] = []

    def between(rows: int) -> None:
        whole_at.append(state(urgent) == "completed")

    engine = give(partial(OpenEcho, between=between))
    job = submit(["later" * 2])
    urgent = submit(["urgent"], priority=Priority.INTERACTIVE)
    task.generate(POOL)
    assert whole_at.index(True) == len("urgent"), "and the other one still writes"
    assert is_echoed(job, ["later" * 2])
    assert engine.n_opened == 1


@pytest.mark.parametrize("error", [EngineError("it broke"), OutOfMemoryError("too large")], ids=["broken", "memory"])
def test_what_a_failure_leaves_runs_again_and_the_rest_goes_on(give: Give, error: EngineError) -> None:
    engine = give(partial(OpenEcho, between=once(30, failing(error))))
    sent = texts(500)
    job = submit(sent)
    task.generate(POOL)
    assert is_echoed(job, sent)
    assert counts(job)["failed"] == 0
    assert engine.batches
    assert len(engine.joined) > 2


def test_an_item_that_fails_alone_too_is_the_only_one(give: Give) -> None:
    def refuse(requests: Sequence[Request]) -> None:
        if any(len(request.tokens) == 33 for request in requests):
            raise EngineError("a request of that length")

    class Picky(OpenEcho):
        def generate_from(self, source: Source) -> Iterator[Completion]:
            def checked() -> Sequence[Request]:
                joining = source()
                refuse(joining)
                return joining

            return super().generate_from(checked)

    engine = give(Picky)
    engine.before = refuse
    sent = [each for each in texts(200) if len(each) != 33]
    sent.insert(100, "x" * 33)
    job = submit(sent)
    task.generate(POOL)
    assert fails_alone(job, sent, 100, "engine_error")
    assert counts(job)["failed"] == 1


def test_what_the_engine_forgets_is_run_again(give: Give) -> None:
    class Silent(OpenEcho):
        def generate_from(self, source: Source) -> Iterator[Completion]:
            return (each for each in super().generate_from(source) if len(each.tokens) != 8)

    give(Silent)
    sent = texts(100)
    assert any(len(each) == 8 for each in sent)
    job = submit(sent)
    task.generate(POOL)
    assert is_echoed(job, sent)


def test_while_an_engine_is_away_its_work_waits_and_what_was_answered_stays(give: Give) -> None:
    away = EngineUnavailable("away", retry_after=600)
    give(partial(OpenEcho, between=once(50, failing(away))))
    sent = texts(64)
    job = submit(sent, shard_items=1)
    task.generate(POOL)
    assert 0 < counts(job)["succeeded"] < 64
    assert counts(job)["failed"] == 0
    assert sql("SELECT DISTINCT state, deaths FROM shards WHERE state <> 'done'") == [("ready", 0)]


def test_a_worker_that_is_told_to_stop_lets_nothing_join_and_gives_back_the_rest(give: Give) -> None:
    engine = give(partial(OpenEcho, between=once(5, shutdown.begin)))
    job = submit(["x" * 60 + str(number) for number in range(1000, 1200)])
    task.generate(POOL)
    assert [len(portion) for portion in engine.joined] == [64]
    assert counts(job)["succeeded"] == 64
    assert set(sql("SELECT state, deaths FROM shards")) == {("done", 1), ("ready", 0)}


def test_a_cancelled_job_lets_nothing_join_any_more(give: Give, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop() -> None:
        with database.engine().begin() as connection:
            cancel.cancel(connection, job, DEFAULT)

    monkeypatch.setattr(lease, "_CHECK_SECONDS", 0)
    engine = give(partial(OpenEcho, between=once(5, stop)))
    job = submit(["x" * 60 + str(number) for number in range(1000, 1200)])
    task.generate(POOL)
    assert [len(portion) for portion in engine.joined] == [64]
    assert counts(job)["cancelled"] == 200


def test_a_database_that_is_away_between_two_steps_loses_nothing(give: Give, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_away(*_: Any) -> None:
        raise Unavailable("the database is away")

    claim_more = claiming.claim_more
    give(OpenEcho)
    sent = texts(200)
    job = submit(sent)
    monkeypatch.setattr(claiming, "claim_more", is_away)
    task.generate(POOL)
    assert counts(job)["succeeded"] == 0, "its lease must run out first"
    monkeypatch.setattr(claiming, "claim_more", claim_more)
    sql("UPDATE shards SET state = 'ready', token = NULL, lease_until = NULL WHERE state = 'leased'")
    task.generate(POOL)
    assert is_echoed(job, sent)


@pytest.mark.parametrize("why", ["another pool's turn", "a new revision", "it remembers enough", "its time is over"])
def test_a_batch_runs_what_it_holds_and_takes_in_no_more(give: Give, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    engine = give(OpenEcho)
    match why:
        case "it remembers enough":
            monkeypatch.setattr(continuous_batch, "_MOST_PIECES", 64)
        case "its time is over":
            knobs(monkeypatch, open_seconds=0.000001)
        case "a new revision":
            monkeypatch.setattr(model_reload, "is_due", lambda: engine.most_rows > 0)
            monkeypatch.setattr(model_reload, "renew", lambda: setattr(engine, "most_rows", 0))
        case _:
            monkeypatch.setattr(pool_rotation, "_LOOK_SECONDS", 0)
            knobs(monkeypatch, turn_seconds=0.000001)
    sent = [texts(200), texts(200, 2)]
    jobs = [submit(each, pool=pool) for each, pool in zip(sent, (POOL, "echo:other"), strict=True)]
    task.generate(POOL)
    assert all(is_echoed(job, each) for job, each in zip(jobs, sent, strict=True))
    assert engine.n_opened > 2


def test_a_suspect_that_is_first_waits_for_the_batch_in_hand_alone_and_joins_nobody(
    give: Give, monkeypatch: pytest.MonkeyPatch
) -> None:
    def come() -> None:
        submit(["a suspect"])
        sql("UPDATE shards SET deaths = 1, priority = 0 WHERE n_tokens = 9")

    monkeypatch.setattr(pool_rotation, "_LOOK_SECONDS", 0)
    engine = give(partial(OpenEcho, between=once(5, come)))
    job = submit(["x" * 60 + str(number) for number in range(1000, 1200)])
    task.generate(POOL)
    assert counts(job)["succeeded"] == 200
    assert [len(batch) for batch in engine.batches] == [1], "by itself"
    assert engine.n_opened == 2
    assert len(engine.joined[0]) + len(engine.joined[1]) < 200, "before what came before it"
