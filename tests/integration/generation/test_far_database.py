"""If the database is far away, the engine's thread does not wait for its answers, and nothing is lost on the way."""

from collections.abc import Iterable, Iterator
from threading import Event, Thread, current_thread
from threading import enumerate as living_threads
from uuid import UUID

import pytest
from sqlalchemy import Connection

from lengthwise.errors import Unavailable
from lengthwise.ledger.queue import lease as leases
from lengthwise.states import Priority
from tests.integration.generation.test_pipeline import is_away
from tests.ledger import POOL, sql, submit
from tests.servers import wait_until
from worker.generation import claiming, pipeline
from worker.generation import lease as heartbeats
from worker.generation.claiming import PreparedClaim
from worker.generation.distance import Distance
from worker.generation.pipeline import Pipeline
from worker.process import Worker

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
def far(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipeline]:
    """A pipeline to which every answer of the database seems late, and which looks and checks each time."""
    monkeypatch.setattr("worker.generation.distance._FAR_SECONDS", -1.0)
    for name in ("_LOOK_SECONDS", "_QUICK_LOOK_SECONDS"):
        monkeypatch.setattr(pipeline, name, 0)
    monkeypatch.setattr(heartbeats, "_CHECK_SECONDS", 0)
    with worker.generator.claimer.distance.asking():
        pass
    with worker.generator.pipeline(worker.generator.rotation(POOL)) as made:
        yield made
    assert not [thread for thread in living_threads() if thread.name == "heartbeat"]


def must_claim(far: Pipeline) -> PreparedClaim:
    prepared = far.next()
    assert prepared is not None
    return prepared


def found_beside(far: Pipeline) -> None:
    """Waits until the look that is under way has ended."""
    assert far._urgent is not None
    far._urgent.exception(30)


def urgent_lies_found(far: Pipeline) -> PreparedClaim:
    """An ordinary claim is running, and beside it an urgent one has been found."""
    submit(["ordinary"])
    running = must_claim(far)
    submit(["urgent"], priority=Priority.INTERACTIVE)
    assert far.more_urgent(running) is None
    found_beside(far)
    return running


def test_urgent_work_is_found_beside_the_engine(far: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    is_answered, asking = Event(), list[Thread]()

    def slowly() -> list[str]:
        asking.append(current_thread())
        assert is_answered.wait(30)
        return ask()

    ask = claiming._urgent_pools
    monkeypatch.setattr(claiming, "_urgent_pools", slowly)
    submit(["ordinary"])
    running = must_claim(far)
    submit(["urgent"], priority=Priority.INTERACTIVE)
    for _ in range(3):
        assert far.more_urgent(running) is None, "and it did not wait"
    is_answered.set()
    found_beside(far)
    urgent = far.more_urgent(running)
    assert urgent is not None
    assert urgent.is_urgent
    assert len(asking) == 1, "it looks no further before the urgent claim has run"
    assert current_thread() not in asking
    for each in (urgent, running):
        claiming.give_back(each)


def test_urgent_work_that_was_found_runs_although_nothing_else_waits(far: Pipeline) -> None:
    running = urgent_lies_found(far)
    far.finish(running)
    sql("UPDATE shards SET not_before = now() + interval '1 hour' WHERE state = 'ready'")
    urgent = must_claim(far)
    assert urgent.is_urgent
    claiming.give_back(urgent)


def test_urgent_work_that_was_found_is_not_held_beside_a_suspect(far: Pipeline) -> None:
    claiming.give_back(urgent_lies_found(far))
    sql("UPDATE shards SET deaths = 1 WHERE state = 'ready'")
    suspect = must_claim(far)
    assert suspect.is_suspect
    assert sql("SELECT state, deaths FROM shards ORDER BY deaths") == [("ready", 0), ("leased", 2)]
    claiming.give_back(suspect)


def test_urgent_work_that_was_found_is_given_back_at_the_end(worker: Worker, far: Pipeline) -> None:
    claiming.give_back(urgent_lies_found(far))
    far.__exit__(None, None, None)
    assert sql("SELECT state, deaths FROM shards") == [("ready", 0)] * 2


def test_a_look_that_fails_does_not_stop_the_engine(
    far: Pipeline, worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    submit(["ordinary"])
    running = must_claim(far)
    monkeypatch.setattr(worker.generator.claimer, "prepare_urgent", is_away)
    for _ in range(2):
        assert far.more_urgent(running) is None
        found_beside(far)
    assert "the database is away" in caplog.text
    claiming.give_back(running)


def test_the_lease_is_checked_beside_the_engine(far: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    asking, find_held = list[Thread](), leases.find_held

    def noted(connection: Connection, token: UUID, shard_ids: Iterable[int]) -> set[int]:
        asking.append(current_thread())
        return find_held(connection, token, shard_ids)

    monkeypatch.setattr(leases, "find_held", noted)
    submit(["ordinary"])
    running = must_claim(far)
    (shard,) = running.claim.shards
    sql("UPDATE shards SET state = 'done', token = NULL, lease_until = NULL")

    def is_noticed() -> bool:
        running.lease.check()
        return not running.lease.holds(shard)

    wait_until(is_noticed, 20)
    assert current_thread() not in asking
    claiming.give_back(running)


@pytest.mark.parametrize("is_far", [True, False])
def test_the_next_claim_begins_early_only_if_the_database_is_far(
    far: Pipeline, monkeypatch: pytest.MonkeyPatch, *, is_far: bool
) -> None:
    submit(["ordinary"])
    running = must_claim(far)
    running.model.engine_seconds = 1
    if not is_far:
        monkeypatch.setattr("worker.generation.distance._FAR_SECONDS", 60.0)
    far.look_ahead(running, 3)
    assert (far._ahead is not None) is is_far
    claiming.give_back(running)


def test_a_distance_is_that_of_the_quickest_of_the_last_answers() -> None:
    distance = Distance()
    seen = [distance.is_far]
    for answers in ([1.0], [0.001], [1.0] * 7, [1.0]):
        distance._answers.extend(answers)
        seen.append(distance.is_far)
    assert seen == [False, True, False, False, True]
    with distance.asking():
        pass
    assert not distance.is_far
    distance._answers.clear()
    with pytest.raises(Unavailable), distance.asking():
        is_away()
    assert not distance._answers, "what fails says nothing of the distance"
