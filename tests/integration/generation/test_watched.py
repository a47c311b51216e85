"""What the watchdog sees of a generation task: all of it, and each of its steps."""

import time
from threading import Thread
from uuid import uuid4

import pytest

from lengthwise import database
from lengthwise.ledger.queue.claim import ClaimLimits, claim
from tests.ledger import POOL, knobs, sql, submit
from tests.servers import wait_until
from worker.generation.distance import Distance
from worker.generation.lease import Lease
from worker.generation.models import LoadedModels, NotLoaded
from worker.process import Worker


def seconds_left() -> float:
    found: float = sql("SELECT extract(epoch FROM lease_until - now())::float8 FROM shards")[0][0]
    return found


@pytest.mark.parametrize("is_hung", [False, True])
def test_a_lease_is_renewed_until_the_thread_of_the_engine_hangs(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, is_hung: bool
) -> None:
    knobs(monkeypatch, lease_seconds=20, heartbeat_seconds=0.1, hang_seconds=0.01 if is_hung else 60)
    submit(["a"])
    token = uuid4()
    with database.engine().begin() as connection:
        claimed = claim(connection, POOL, token, ClaimLimits(100, 10), lease_seconds=5)()
    assert claimed is not None
    with worker.watchdog.watched():
        time.sleep(0.02)
        lease = Lease(token, claimed.shards, worker.watchdog, worker.shutdown, Distance())
        lease.start()
        if is_hung:
            time.sleep(1)
            assert seconds_left() < 5
            worker.watchdog.step()
            assert lease.holds(next(iter(claimed.shards))), "it may come back before anybody takes over"
        else:
            wait_until(lambda: seconds_left() > 10)
        lease.stop()


def test_each_claim_of_a_model_that_cannot_be_loaded_is_a_step(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    knobs(monkeypatch, shard_items=1, claim_batches=1)
    monkeypatch.setattr(LoadedModels, "spec", lambda *_: None)
    steps: list[float] = []

    def fail(*_: object) -> None:
        steps.append(worker.watchdog._progress.made_at)
        raise NotLoaded

    monkeypatch.setattr(worker.models, "get", fail)
    for number in range(20):
        submit([str(number)])
    worker.generate(POOL)
    assert len(set(steps)) == len(steps) >= 20


def test_a_task_that_waits_for_a_model_to_be_reloaded_is_watched(worker: Worker) -> None:
    with worker.reload.engines:
        waiting = Thread(target=worker.generate, args=[POOL])
        waiting.start()
        wait_until(lambda: worker.watchdog.stalled(0.01) is not None)
    waiting.join()
    assert worker.watchdog.stalled(0.0) is None
