"""Real workers that are frozen, killed or asked to stop, as the API shows them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.app import create_app
from lengthwise.child import Child
from lengthwise.settings import Settings
from tests.caller import calling
from tests.fakes import write_catalog
from tests.ledger import knobs
from tests.servers import wait_until
from tests.workers import worker

#: Within this time a worker must be seen as lost, with the period of the settings' default.
LOST_SECONDS = 30


@pytest.fixture
def client(installed: Settings, tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    knobs(monkeypatch, models=write_catalog(tmp_path, seconds_per_batch=0.1), grace_seconds=20)
    with calling(create_app()) as made:
        yield made


def listed(client: TestClient) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.get("/v1/workers").json()["data"]
    return found


def states(client: TestClient) -> list[tuple[str, str]]:
    return [(each["role"], each["state"]) for each in listed(client)]


def is_degraded(client: TestClient, reason: str) -> bool:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    return any(reason in each for each in answer.json()["reasons"])


def freeze(victim: Child, which: str, child: int) -> None:
    assert victim.pid is not None
    if which == "both":
        os.killpg(victim.pid, signal.SIGSTOP)
    else:
        os.kill(child if which == "the process that computes" else victim.pid, signal.SIGSTOP)


@pytest.mark.parametrize("which", ["both", "the process that computes", "its parent"])
def test_a_frozen_generation_worker_is_seen_as_lost_and_as_back(client: TestClient, logs: Path, which: str) -> None:
    with worker("generate", logs) as frozen:
        wait_until(lambda: states(client) == [("generate", "idle")])
        [shown] = listed(client)
        assert frozen.log is not None
        assert shown["name"] == frozen.log.stem
        assert [model["name"] for model in shown["models"]] == ["echo"]
        assert shown["pid"] != frozen.pid, "the process that computes is its child"
        assert not is_degraded(client, "generation")
        freeze(frozen, which, shown["pid"])
        wait_until(lambda: states(client) == [("generate", "lost")], LOST_SECONDS)
        wait_until(lambda: is_degraded(client, "no generation worker is alive"), 5)
        assert frozen.pid is not None
        os.killpg(frozen.pid, signal.SIGCONT)
        wait_until(lambda: states(client) == [("generate", "idle")], LOST_SECONDS)
        wait_until(lambda: not is_degraded(client, "generation"), 5)


def test_a_killed_worker_is_lost_and_one_that_stops_in_order_leaves_nothing(client: TestClient, logs: Path) -> None:
    with worker("generate", logs) as killed:
        wait_until(lambda: states(client) == [("generate", "idle")])
        killed.kill()
        wait_until(lambda: states(client) == [("generate", "lost")], LOST_SECONDS)
    for queue in ("generate", "deliver"):
        with worker(queue, logs) as leaving:
            wait_until(lambda queue=queue: (queue, "idle") in states(client))
            leaving.ask_to_stop()
            wait_until(lambda leaving=leaving: not leaving.is_running, 30)
            assert states(client) == [("generate", "lost")]


def test_a_working_worker_shows_what_it_does_and_a_frozen_delivery_worker_is_seen(
    client: TestClient, logs: Path
) -> None:
    with worker("deliver", logs) as delivering, worker("generate", logs):
        client.post("/v1/jobs", json={"kind": "generate", "items": [f"{number} abc" for number in range(4000)]})
        wait_until(lambda: ("generate", "working") in states(client) and listed(client)[1]["items"] > 0)
        working = listed(client)[1]
        assert working["model"] == "echo"
        assert working["batch_rows"] > 0
        assert working["batch_tokens"] > 0
        assert working["items_per_second"] > 0
        assert delivering.pid is not None
        os.killpg(delivering.pid, signal.SIGSTOP)
        wait_until(lambda: ("deliver", "lost") in states(client), LOST_SECONDS)
        wait_until(lambda: is_degraded(client, "no delivery worker is alive"), 5)
