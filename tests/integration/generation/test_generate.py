"""The generation task in this process: whatever the engine does, each item ends once, with the right result."""

from collections.abc import Sequence
from functools import partial
from random import Random
from threading import Semaphore
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, text

from lengthwise import database, queue
from lengthwise.ledger.jobs import cancel
from lengthwise.ledger.queue import lease as leases
from lengthwise.ledger.queue import settle as real
from lengthwise.models import tokenizer
from lengthwise.states import Priority
from tests import fakes
from tests.integration.conftest import EngineInstaller
from tests.ledger import DEFAULT, POOL, counts, knobs, new_tenant, outputs, sql, state, submit
from tests.servers import wait_until
from worker.engine.protocol import Request
from worker.generation import lease, pool_rotation, settlement
from worker.generation.distance import Distance
from worker.process import Worker

pytestmark = pytest.mark.usefixtures("worker")


def texts(count: int, seed: int = 1, longest: int = 200) -> list[str]:
    random = Random(seed)
    alphabet = "abcdefghijklmnopqrstuvwxyz "
    return ["".join(random.choices(alphabet, k=random.randint(1, longest))) for _ in range(count)]


def is_echoed(job: UUID, sent: Sequence[str]) -> bool:
    found = outputs(job)
    assert set(found) == set(range(len(sent)))
    return all(found[index]["output"]["text"] == text[::-1] for index, text in enumerate(sent))


def fails_alone(job: UUID, sent: Sequence[str], index: int, code: str) -> bool:
    """Whether all but one are echoed."""
    found = outputs(job)
    is_failed: bool = found.pop(index)["error"]["code"] == code
    return is_failed and all(line["output"]["text"] == sent[place][::-1] for place, line in found.items())


def test_thousands_of_items_of_many_jobs_all_have_correct_results(worker: Worker) -> None:
    sent = [texts(count, seed) for seed, count in enumerate([1500, 1, 700, 300, 64])]
    jobs = [submit(each, tenant=tenant) for each, tenant in zip(sent, [DEFAULT, new_tenant()] * 3, strict=False)]
    worker.generate(POOL)
    for job, each in zip(jobs, sent, strict=True):
        assert state(job) == "completed"
        assert is_echoed(job, each)


def test_out_of_memory_splits_batches_until_they_fit_and_then_plans_smaller_ones(
    install_engine: EngineInstaller, worker: Worker
) -> None:
    engine = install_engine(partial(fakes.SmallEngine, padded=1000))
    sent = texts(1000)
    job = submit(sent)
    worker.generate(POOL)
    assert is_echoed(job, sent)
    assert 0 < engine.n_failures < len(engine.batches)


def test_only_the_item_that_does_not_fit_by_itself_fails(install_engine: EngineInstaller, worker: Worker) -> None:
    install_engine(partial(fakes.SmallEngine, padded=150))
    sent = [*texts(200, longest=100), "x" * 200]
    job = submit(sent)
    worker.generate(POOL)
    assert fails_alone(job, sent, 200, "out_of_memory")


def test_a_poison_item_fails_alone_and_its_neighbours_succeed(install_engine: EngineInstaller, worker: Worker) -> None:
    install_engine(partial(fakes.PickyEngine, length=33))
    sent = [text for text in texts(400) if len(text) != 33]
    sent.insert(100, "x" * 33)
    job = submit(sent)
    worker.generate(POOL)
    assert fails_alone(job, sent, 100, "engine_error")
    assert counts(job)["failed"] == 1
    assert state(job) == "completed"


def test_items_that_an_engine_leaves_unanswered_run_again(install_engine: EngineInstaller, worker: Worker) -> None:
    install_engine(fakes.SilentEngine)
    sent = texts(100)
    job = submit(sent)
    worker.generate(POOL)
    assert is_echoed(job, sent)


@pytest.mark.parametrize("twice", [False, True])
def test_answers_that_no_request_asked_for_are_the_engines_error(
    install_engine: EngineInstaller, worker: Worker, twice: bool
) -> None:
    install_engine(partial(fakes.MisnumberingEngine, twice=twice))
    job = submit(texts(5))
    worker.generate(POOL)
    assert {line["error"]["code"] for line in outputs(job).values()} == {"engine_error"}
    assert counts(job)["failed"] == 5


def test_while_an_engines_server_is_away_its_work_waits_without_losing_attempts(
    install_engine: EngineInstaller, worker: Worker
) -> None:
    engine = install_engine(fakes.AwayEngine)
    sent = texts(1000)
    job = submit(sent)
    worker.generate(POOL)
    assert len(engine.batches) == 1, "what else is claimed is put off without asking"
    assert counts(job)["failed"] == 0
    assert counts(job)["pending"] > 900
    waiting = "SELECT DISTINCT state, attempts, deaths, not_before > now() + interval '1 minute' FROM shards"
    assert sql(f"{waiting} WHERE state <> 'done'") == [("ready", 0, 0, True)]
    engine.is_away = False
    sql("UPDATE shards SET not_before = now()")
    worker.models.get("echo").paused_until = 0
    worker.generate(POOL)
    assert is_echoed(job, sent)


def test_work_claimed_before_its_engine_became_unavailable_does_not_run(
    install_engine: EngineInstaller, worker: Worker
) -> None:
    engine = install_engine(fakes.WatchedEngine)
    job = submit(texts(100))
    current = worker.generator.rotation(POOL)
    with worker.generator.claims(current) as claims:
        prepared = claims.next()
        assert prepared is not None
        prepared.model.pause(600)
        worker.generator.run(prepared, claims)
    assert engine.batches == []
    assert counts(job)["pending"] == 100
    assert sql("SELECT DISTINCT state, attempts, deaths FROM shards") == [("ready", 0, 0)]


def test_a_text_that_lost_marks_is_translated_around_its_placeholders(
    install_engine: EngineInstaller, worker: Worker
) -> None:
    spec = worker.models.spec("echo")
    assert spec is not None
    marks = frozenset(tokenizer.load(spec).encode(["".join(map(chr, range(0xE000, 0xE008)))])[0])
    install_engine(partial(fakes.ForgetfulEngine, marks=marks))
    job = submit(["abc {name} def", "plain"], kind="translate", params={"source": "en", "target": "de"})
    worker.generate(POOL)
    found = outputs(job)
    assert found[0]["output"]["text"] == "cba {name} fed"
    assert found[1]["output"]["text"] == "nialp"


@pytest.fixture
def _slow_claims(monkeypatch: pytest.MonkeyPatch, worker: Worker) -> None:
    """Each claim holds several batches, however slow they are."""
    monkeypatch.setattr(worker.models, "batches_in", lambda *_: 4)


@pytest.mark.usefixtures("_slow_claims")
def test_a_cancelled_job_stops_within_one_batch(
    install_engine: EngineInstaller, monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    def stop(_: Sequence[Request]) -> None:
        with database.engine().begin() as connection:
            cancel.cancel(connection, job, DEFAULT)

    monkeypatch.setattr(lease, "_CHECK_SECONDS", 0)
    # Behind a far database, which a busy machine's looks like, a thread asks, and a batch more may run.
    monkeypatch.setattr(Distance, "is_far", False)
    engine = install_engine(partial(fakes.WatchedEngine, before=stop))
    job = submit(["x" * 100 + str(number) for number in range(200)])
    worker.generate(POOL)
    assert len(engine.batches) == 1
    assert outputs(job) == {}
    assert counts(job)["cancelled"] == 200


@pytest.mark.usefixtures("_slow_claims")
def test_a_heartbeat_notices_lost_shards_too(
    install_engine: EngineInstaller, monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    lost = Semaphore(0)

    def beat(*args: Any, **more: Any) -> set[int]:
        held: set[int] = real_heartbeat(*args, **more)
        if not held:
            lost.release()
        return held

    def stop(_: Sequence[Request]) -> None:
        with database.engine().begin() as connection:
            cancel.cancel(connection, job, DEFAULT)
        assert lost.acquire(timeout=60)
        assert lost.acquire(timeout=60)  # at the second heartbeat the worker knows the result of the first

    real_heartbeat = leases.heartbeat
    monkeypatch.setattr(leases, "heartbeat", beat)
    monkeypatch.setattr(lease, "_CHECK_SECONDS", 600)
    knobs(monkeypatch, heartbeat_seconds=0.05)
    engine = install_engine(partial(fakes.WatchedEngine, before=stop))
    job = submit(["x" * 100 + str(number) for number in range(200)])
    worker.generate(POOL)
    assert len(engine.batches) == 1
    assert counts(job)["cancelled"] == 200


@pytest.mark.usefixtures("_slow_claims")
def test_after_the_grace_period_running_work_is_given_back_without_a_charge(
    install_engine: EngineInstaller, monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    def dawdle(_: Sequence[Request]) -> None:
        worker.shutdown.begin()
        wait_until(lambda: sql("SELECT DISTINCT state, deaths FROM shards") == [("ready", 0)])

    knobs(monkeypatch, heartbeat_seconds=0.05, grace_seconds=0.01)
    install_engine(partial(fakes.WatchedEngine, before=dawdle))
    job = submit(["x" * 100 + str(number) for number in range(200)])
    worker.generate(POOL)
    assert counts(job)["pending"] == 200


def test_the_worker_switches_to_more_urgent_work_in_another_pool(
    install_engine: EngineInstaller, monkeypatch: pytest.MonkeyPatch, worker: Worker
) -> None:
    other = "echo:other"

    def interrupt(_: Sequence[Request]) -> None:
        if len(engine.batches) == 2:
            urgent.append(submit(["urgent"], pool=other, priority=Priority.INTERACTIVE))

    monkeypatch.setattr(pool_rotation, "_LOOK_SECONDS", 0)
    urgent: list[UUID] = []
    engine = install_engine(partial(fakes.WatchedEngine, before=interrupt))
    submit(texts(3000), priority=Priority.BACKGROUND)
    worker.generate(POOL)
    assert [line["output"]["text"] for line in outputs(urgent[0]).values()] == ["tnegru"]
    sizes = [len(batch) for batch in engine.batches]
    assert sizes.index(1) < len(sizes) - 5, "long before the rest of the other pool was done"


def test_a_worker_whose_pool_is_empty_continues_with_other_pools(worker: Worker) -> None:
    job = submit(texts(10), pool="echo:other")
    worker.generate(POOL)
    assert state(job) == "completed"


def test_repeated_texts_are_computed_once(install_engine: EngineInstaller, worker: Worker) -> None:
    engine = install_engine(fakes.WatchedEngine)
    sent = [f"text number {number % 50}" for number in range(3000)]
    job = submit(sent)
    worker.generate(POOL)
    assert sum(len(batch) for batch in engine.batches) == 50
    assert is_echoed(job, sent)
    assert sql("SELECT sum(n_deduplicated) FROM shards") == [(2950,)]


@pytest.mark.usefixtures("_slow_claims")
def test_a_stopping_worker_finishes_its_batch_and_gives_the_rest_back(
    install_engine: EngineInstaller, worker: Worker
) -> None:
    engine = install_engine(partial(fakes.WatchedEngine, before=lambda _: worker.shutdown.begin()))
    job = submit(["x" * 60 + str(number) for number in range(1000, 2000)])
    worker.generate(POOL)
    assert len(engine.batches) == 1
    assert counts(job)["succeeded"] == 64
    assert set(sql("SELECT state, deaths FROM shards")) == {("done", 1), ("ready", 0)}


def test_a_stopping_worker_claims_nothing(worker: Worker) -> None:
    job = submit(texts(10))
    worker.shutdown.begin()
    worker.generate(POOL)
    assert counts(job)["pending"] == 10
    assert sql("SELECT DISTINCT deaths FROM shards") == [(0,)]


def test_a_slice_ends_in_time_and_rings_for_the_rest(monkeypatch: pytest.MonkeyPatch, worker: Worker) -> None:
    rung: list[Any] = []
    monkeypatch.setattr(queue, "ring", lambda *bell: rung.append(bell))
    knobs(monkeypatch, slice_seconds=0.000001)
    sent = texts(1000)
    job = submit(sent)
    worker.generate(POOL)
    while rung:
        assert rung.pop() == (queue.GENERATE, [POOL])
        assert counts(job)["succeeded"] > 0
        worker.generate(POOL)
    assert is_echoed(job, sent)


def test_a_settlement_is_retried_if_the_database_is_away(monkeypatch: pytest.MonkeyPatch, worker: Worker) -> None:
    refused: list[int] = []

    def settle(connection: Connection, *args: Any) -> real.SettledShards:
        if len(refused) < 2:
            refused.append(1)
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return real.settle(connection, *args)

    monkeypatch.setattr(settlement, "settle", settle)
    monkeypatch.setattr(settlement, "_RETRY_SECONDS", 0.01)
    sent = texts(200)
    job = submit(sent)
    worker.generate(POOL)
    assert len(refused) == 2
    assert is_echoed(job, sent)


def test_beam_search_on_an_engine_without_it_fails_each_item(worker: Worker) -> None:
    job = submit(["abc", "de"], kind="translate", params={"source": "en", "target": "de", "beams": 2})
    worker.generate(POOL)
    assert {index: line["error"]["code"] for index, line in outputs(job).items()} == dict.fromkeys(
        (0, 1), "engine_error"
    )
