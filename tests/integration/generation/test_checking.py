"""While threads check the answers of one claim, other work runs, and each item ends once and for its own reason."""

import time
from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import Any

import pytest

from lengthwise.errors import Unanswerable, Unavailable
from lengthwise.kinds.generate import GenerateKind
from lengthwise.kinds.kind import ModelAnswer
from lengthwise.states import Priority
from tests import fakes
from tests.integration.conftest import EngineInstaller
from tests.integration.generation.test_pipeline import leases_alive
from tests.ledger import POOL, counts, knobs, new_tenant, outputs, sql, state, submit
from tests.servers import wait_until
from worker.generation import checking
from worker.process import Worker

pytestmark = pytest.mark.usefixtures("worker")

#: What the check of an item does, by its text. It returns whether the answer may be used.
Check = Callable[[str, int], bool]


@pytest.fixture
def check_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[Check], None]:
    """Gives every item whose text begins with ``costly`` a check beside the engine."""
    plain = GenerateKind.output

    def install(check: Check) -> None:
        def output(self: Any, model: Any, params: Any, item: Any, answers: Sequence[ModelAnswer], attempt: int) -> Any:
            if not item.text.startswith("costly"):
                return plain(self, model, params, item, answers, attempt)
            return lambda: plain(self, model, params, item, answers, attempt) if check(item.text, attempt) else None

        monkeypatch.setattr(GenerateKind, "output", output)
        monkeypatch.setattr(GenerateKind, "max_attempts", 3)
        monkeypatch.setattr(GenerateKind, "exhausted_error", "schema_not_met")

    return install


CheckInstaller = Callable[[Check], None]


def costly(count: int) -> list[str]:
    return [f"costly {number}" for number in range(count)]


@pytest.fixture(params=[fakes.WatchedEngine, fakes.WatchedContinuousEngine])
def engine(request: pytest.FixtureRequest, install_engine: EngineInstaller) -> Any:
    """Plain batches, and continuous ones."""
    return install_engine(request.param)


@pytest.mark.parametrize("priority", [Priority.NORMAL, Priority.INTERACTIVE])
@pytest.mark.usefixtures("engine")
def test_others_do_not_wait_for_costly_checks(worker: Worker, check_with: CheckInstaller, priority: Priority) -> None:
    is_begun, is_free = Event(), Event()

    def check(_: str, attempt: int) -> bool:
        is_begun.set()
        return is_free.wait(120)

    check_with(check)
    attack = submit(costly(64), priority=priority)
    working = Thread(target=worker.generate, args=[POOL])
    working.start()
    assert is_begun.wait(60)
    others = [submit([f"{number}"], tenant=new_tenant(), priority=priority) for number in range(5)]
    wait_until(lambda: all(state(job) == "completed" for job in others), 60)
    assert counts(attack)["pending"] == 64
    is_free.set()
    working.join()
    assert state(attack) == "completed"
    assert len(outputs(attack)) == 64
    assert leases_alive() == 0


@pytest.mark.usefixtures("engine")
def test_others_in_the_same_claim_do_not_wait(worker: Worker, check_with: CheckInstaller) -> None:
    is_free = Event()
    check_with(lambda text, _: text.startswith("costly mine") or is_free.wait(120))
    attack = submit(costly(40))
    others = [submit([text], tenant=new_tenant()) for text in ("plain", "other")]
    working = Thread(target=worker.generate, args=[POOL])
    working.start()
    wait_until(lambda: all(state(job) == "completed" for job in others), 60)
    is_free.set()
    working.join()
    assert counts(attack)["succeeded"] == 40


@pytest.mark.usefixtures("engine")
def test_each_item_ends_once_whatever_its_checks_say(worker: Worker, check_with: CheckInstaller) -> None:
    def check(text: str, attempt: int) -> bool:
        number = int(text.split()[1])
        time.sleep(0.003)
        if number % 7 == 6:
            raise Unanswerable("schema_too_costly")
        return attempt >= number % 4

    check_with(check)
    job = submit([*costly(150), "plain"], shard_items=16)
    worker.generate(POOL)
    found = outputs(job)
    assert set(found) == set(range(151))
    for index in range(150):
        if index % 7 == 6:
            assert found[index]["error"]["code"] == "schema_too_costly"
        elif index % 4 == 3:
            assert found[index]["error"]["code"] == "schema_not_met"
        else:
            assert found[index]["output"]["text"] == f"costly {index}"[::-1]
    assert sql("SELECT DISTINCT state FROM shards") == [("done",)]
    assert leases_alive() == 0


def test_only_some_claims_are_checked_at_a_time(
    worker: Worker, check_with: CheckInstaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_free = Event()
    check_with(lambda *_: is_free.wait(120))
    knobs(monkeypatch, claim_batches=1)
    monkeypatch.setattr(worker.models.get("echo"), "batch_tokens", 16)
    jobs = [submit([f"costly {number:020}"]) for number in range(12)]  # each is a claim of its own
    working = Thread(target=worker.generate, args=[POOL])
    working.start()
    wait_until(lambda: sql("SELECT count(*) FROM shards WHERE state = 'leased'")[0][0] == 4, 60)
    time.sleep(1)
    assert sql("SELECT count(*) FROM shards WHERE state = 'leased'")[0][0] == 4
    urgent = submit(["plain"], tenant=new_tenant(), priority=Priority.INTERACTIVE)
    wait_until(lambda: state(urgent) == "completed", 60)
    is_free.set()
    working.join()
    assert all(state(job) == "completed" for job in jobs)
    assert leases_alive() == 0


def test_a_suspect_is_checked_before_anything_else_runs(worker: Worker, check_with: CheckInstaller) -> None:
    seen: list[int] = []

    def check(*_: object) -> bool:
        seen.append(sql("SELECT count(*) FROM shards WHERE state = 'leased'")[0][0])
        time.sleep(0.05)
        return True

    check_with(check)
    suspect = submit(costly(4))
    sql("UPDATE shards SET deaths = 1")
    other = submit(["plain"] * 3, tenant=new_tenant())
    worker.generate(POOL)
    assert (state(suspect), state(other)) == ("completed", "completed")
    assert seen == [1] * 4


def test_a_suspect_waits_until_the_checks_of_others_have_ended(worker: Worker, check_with: CheckInstaller) -> None:
    is_begun, is_free, ran = Event(), Event(), list[int]()

    def check(text: str, _: int) -> bool:
        if text.startswith("costly suspect"):
            ran.append(sql("SELECT count(*) FROM shards WHERE state = 'leased'")[0][0])
            return True
        is_begun.set()
        return is_free.wait(120)

    check_with(check)
    submit(costly(4))
    working = Thread(target=worker.generate, args=[POOL])
    working.start()
    assert is_begun.wait(60)
    submit(["costly suspect"])
    sql("UPDATE shards SET deaths = 1 WHERE state = 'ready'")
    time.sleep(0.5)
    assert ran == []
    is_free.set()
    working.join()
    assert ran == [1]


def test_a_check_that_hangs_is_seen_by_the_watchdog(
    worker: Worker, check_with: CheckInstaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs(monkeypatch, hang_seconds=1)
    is_free = Event()
    check_with(lambda *_: is_free.wait(120))
    submit(costly(2))
    working = Thread(target=worker.generate, args=[POOL])
    working.start()
    wait_until(lambda: worker.watchdog.stalled(1.0) is not None, 60)
    is_free.set()
    working.join()
    assert worker.watchdog.stalled(0.0) is None


@pytest.mark.parametrize("seconds", [0, 0.1])
def test_a_check_that_cannot_be_made_fails_no_item(worker: Worker, check_with: CheckInstaller, seconds: float) -> None:
    def check(*_: object) -> bool:
        time.sleep(seconds)
        raise Unavailable("the machine is too busy to check this")

    check_with(check)
    job = submit(costly(3))
    worker.generate(POOL)
    assert counts(job)["pending"] == 3
    assert leases_alive() == 0


def test_a_worker_that_stops_gives_back_what_is_not_checked(worker: Worker, check_with: CheckInstaller) -> None:
    is_begun, is_free = Event(), Event()

    def check(*_: object) -> bool:
        is_begun.set()
        return is_free.wait(120)

    check_with(check)
    job = submit(costly(3))
    working = Thread(target=worker.generate, args=[POOL])
    working.start()
    assert is_begun.wait(60)
    worker.shutdown.begin()
    working.join(60)
    assert not working.is_alive()
    is_free.set()
    assert counts(job)["pending"] == 3
    assert sql("SELECT state, deaths, attempts FROM shards") == [("ready", 0, 0)]
    assert leases_alive() == 0


def test_the_slice_of_time_ends_once_the_checks_have_ended(
    worker: Worker, check_with: CheckInstaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs(monkeypatch, slice_seconds=0.05)
    monkeypatch.setattr(checking, "_BRIEF_SECONDS", 0.001)

    def check(_: str, attempt: int) -> bool:
        time.sleep(0.02)
        return attempt > 0

    check_with(check)
    job = submit(costly(20))
    worker.generate(POOL)
    assert counts(job)["succeeded"] == 20
