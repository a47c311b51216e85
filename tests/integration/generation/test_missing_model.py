"""Work of a model that no worker can load: it waits for as long as the setting says, and then ends by name."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from lengthwise.errors import ConfigurationError
from lengthwise.models.catalog import ModelSpec
from lengthwise.states import Priority
from tests.integration.why.crew import failed, loaded, seen
from tests.ledger import POOL, counts, knobs, outputs, sql, submit
from worker.engine import registry
from worker.generation import models, postponement
from worker.process import Worker

pytestmark = pytest.mark.usefixtures("worker")

TEXTS = [f"number {number}" for number in range(300)]
#: Puts the model's files back.
Mend = Callable[[], None]


@pytest.fixture
def tries() -> list[str]:
    """Each try to load the model."""
    return []


@pytest.fixture
def mend(monkeypatch: pytest.MonkeyPatch, tries: list[str]) -> Mend:
    """The model cannot be loaded until this is called."""
    real = registry.load

    def load(spec: ModelSpec) -> Any:
        tries.append(spec.name)
        raise ConfigurationError("its files are gone")

    monkeypatch.setattr(registry, "load", load)
    return lambda: monkeypatch.setattr(registry, "load", real)


def run(worker: Worker, times: int = 1) -> None:
    """Lets the worker try all that waits, as if the delays had passed."""
    for _ in range(times):
        sql("UPDATE shards SET not_before = now()")
        worker.generate(POOL)


def codes(job: UUID) -> set[str]:
    return {line["error"]["code"] for line in outputs(job).values()}


@pytest.mark.parametrize(("wait", "n_tries"), [(0, 1), (1, 2), (14, 4), (15, 5), (62, 6), (900, 20)])
@pytest.mark.usefixtures("mend")
def test_items_wait_for_their_model_for_the_time_of_the_setting_and_then_fail(
    wait: int, n_tries: int, monkeypatch: pytest.MonkeyPatch, worker: Worker, tries: list[str]
) -> None:
    """With delays of 2, 4, 8, 16 and 32 s, and then of a minute each."""
    knobs(monkeypatch, model_wait_seconds=wait)
    monkeypatch.setattr(models, "_FAILURE_SECONDS", 600)
    job = submit(TEXTS)
    for n_before in range(n_tries):
        assert counts(job)["pending"] == 300
        assert sql("SELECT DISTINCT attempts FROM shards") == [(n_before,)]
        run(worker)
    assert codes(job) == {"model_unavailable"}
    assert counts(job)["failed"] == 300
    assert len(tries) == 1  # loading may read gigabytes, so it is not tried for every claim


@pytest.mark.usefixtures("mend")
def test_a_caller_who_waits_for_the_answer_has_an_error_after_seconds(worker: Worker) -> None:
    waiting, asking = submit(TEXTS), submit(["hello"], priority=Priority.INTERACTIVE)
    run(worker, 3)
    assert codes(asking) == {"model_unavailable"}
    assert counts(waiting)["pending"] == 300


@pytest.mark.usefixtures("mend")
def test_work_that_only_its_deadline_has_made_urgent_waits_on(worker: Worker) -> None:
    job = submit(["hello"])
    sql("UPDATE shards SET priority = 0")
    run(worker, 5)
    assert counts(job)["pending"] == 1


@pytest.mark.usefixtures("mend")
@pytest.mark.parametrize("priority", [Priority.INTERACTIVE, Priority.NORMAL])
@pytest.mark.parametrize(
    ("role", "state", "ago", "known", "fails"),
    [
        ("generate", "working", 0, loaded(), False),
        ("generate", "idle", 10, loaded(), False),
        ("generate", "working", 60, loaded(), True),
        ("generate", "stopping", 0, loaded(), True),
        ("generate", "idle", 0, loaded("other"), True),
        ("generate", "idle", 0, failed("its files are gone"), True),
        ("deliver", "idle", 0, loaded(), True),
    ],
)
def test_no_item_fails_while_another_live_worker_has_its_model(
    role: str, state: str, ago: float, known: Any, fails: bool, priority: Priority, monkeypatch: Any, worker: Worker
) -> None:
    knobs(monkeypatch, model_wait_seconds=10)
    seen(role, state, ago=ago, models=[known])
    job = submit(["hello"], priority=priority)
    run(worker, 6)
    assert (counts(job)["failed"] == 1) is fails


def test_a_job_whose_model_is_mended_in_time_has_all_results(
    worker: Worker, mend: Mend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_FAILURE_SECONDS", 0)
    monkeypatch.setattr(models, "_FAILURE_FACTOR", 0)
    job = submit(TEXTS)
    run(worker, 10)
    assert counts(job)["pending"] == 300
    mend()
    run(worker)
    assert {line["output"]["text"] for line in outputs(job).values()} == {text[::-1] for text in TEXTS}


def test_a_job_that_another_catalog_names_is_run_once_this_one_does(worker: Worker) -> None:
    job = submit(TEXTS, pool="elsewhere:test")
    worker.generate("elsewhere:test")
    assert counts(job)["pending"] == 300
    sql("UPDATE shards SET not_before = now(), pool = :pool", pool=POOL)
    sql("UPDATE jobs SET model = 'echo'")
    worker.generate(POOL)
    assert counts(job)["succeeded"] == 300


@pytest.mark.usefixtures("mend")
def test_what_waits_for_a_missing_model_is_put_off_in_few_claims(worker: Worker, monkeypatch: Any) -> None:
    """A million items are put off again and again, and the worker's other models must go on."""
    postponed: list[int] = []
    postpone = postponement.postpone

    def count(model: str, claimed: Any) -> None:
        postponed.append(len(claimed.shards))
        postpone(model, claimed)

    monkeypatch.setattr(postponement, "postpone", count)
    submit(["x" * 10] * 64 * 33)
    run(worker)
    assert postponed == [1, 16, 16]


@pytest.mark.parametrize(("took", "pause"), [(0.0, 10.0), (1.0, 10.0), (30.0, 120.0)])
def test_a_model_that_takes_long_to_fail_is_tried_seldom(
    took: float, pause: float, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(models, "time", SimpleNamespace(monotonic=lambda: clock.now, perf_counter=time.perf_counter))

    def load(_: ModelSpec) -> None:
        clock.now += took
        raise ConfigurationError("the device has no room")

    monkeypatch.setattr(registry, "load", load)
    with pytest.raises(models.NotLoaded):
        worker.models.get("echo")
    clock.now += pause - 0.1
    assert worker.models.is_failing("echo")
    clock.now += 0.2
    assert not worker.models.is_failing("echo")
