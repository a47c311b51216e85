"""A generation worker is killed, or asked to stop, in the middle of a job. Nothing is lost and nothing is doubled."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from pydantic_core import from_json
from starlette.testclient import TestClient

from api.app import create_app
from lengthwise.settings import Settings
from tests.caller import calling
from tests.fakes import write_catalog
from tests.ledger import knobs, sql
from tests.servers import wait_until
from tests.workers import worker

N_ITEMS = 2_000
GRACE_SECONDS = 20


@pytest.fixture
def client(installed: Settings, tmp_path: Path, logs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The API, and a worker that delivers and sweeps. The job below takes seconds, so that tests can interrupt it."""
    knobs(
        monkeypatch,
        models=write_catalog(tmp_path, seconds_per_batch=0.1),
        lease_seconds=3,
        heartbeat_seconds=1,
        sweep_seconds=1,
        grace_seconds=GRACE_SECONDS,
    )
    with worker("deliver", logs), calling(create_app()) as made:
        yield made


def texts() -> list[str]:
    random = Random(5)
    return [f"{number} " + "ab cd" * random.randint(0, 20) for number in range(N_ITEMS)]


def submitted(client: TestClient) -> str:
    answer = client.post("/v1/jobs", json={"kind": "generate", "items": texts()})
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["id"]
    return job


def n_settled() -> int:
    found: int = sql("SELECT count(*) FROM results")[0][0]
    return found


def in_the_middle() -> None:
    wait_until(lambda: n_settled() >= 100, 60)
    assert n_settled() < 1_500


def all_is_right(client: TestClient, job: str) -> None:
    wait_until(lambda: client.get(f"/v1/jobs/{job}").json()["state"] == "completed", 120)
    assert client.get(f"/v1/jobs/{job}").json()["counts"]["succeeded"] == N_ITEMS
    lines = [from_json(line) for line in client.get(f"/v1/jobs/{job}/results").content.splitlines()]
    assert len(lines) == N_ITEMS
    assert {line["index"]: line["output"]["text"] for line in lines} == {
        index: text[::-1] for index, text in enumerate(texts())
    }


def deaths() -> list[tuple[str, int]]:
    return sorted(sql("SELECT DISTINCT state, deaths FROM shards"))


def test_kill_9_in_the_middle_of_a_job_loses_nothing_and_doubles_nothing(client: TestClient, logs: Path) -> None:
    with worker("generate", logs) as victim:
        job = submitted(client)
        in_the_middle()
        wait_until(lambda: sql("SELECT count(*) FROM shards WHERE state = 'leased'") != [(0,)])
        victim.kill()
        assert sql("SELECT count(*) FROM shards WHERE state = 'leased'") != [(0,)]
    with worker("generate", logs):
        all_is_right(client, job)
    assert deaths() == [("done", 1), ("done", 2)]


def test_sigterm_in_the_middle_of_a_job_gives_back_what_is_not_done_uncharged(client: TestClient, logs: Path) -> None:
    with worker("generate", logs) as leaving:
        job = submitted(client)
        in_the_middle()
        leaving.ask_to_stop()
        wait_until(lambda: not leaving.is_running, GRACE_SECONDS + 2)
        assert leaving.exit_code() == 0, leaving.output()
    assert n_settled() < N_ITEMS
    assert deaths() == [("done", 1), ("ready", 0)]
    with worker("generate", logs):
        all_is_right(client, job)
    assert deaths() == [("done", 1)]


def test_a_batch_longer_than_the_grace_is_given_back_and_the_worker_goes(
    client: TestClient, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs(monkeypatch, models=write_catalog(tmp_path / "slow", seconds_per_batch=60), grace_seconds=1)
    with worker("generate", logs) as leaving:
        client.post("/v1/jobs", json={"kind": "generate", "items": ["a", "b"]})
        wait_until(lambda: deaths() == [("leased", 1)])
        leaving.ask_to_stop()
        wait_until(lambda: not leaving.is_running, 1 + 2 + 5)  # a busy machine may need a few seconds more
        assert leaving.exit_code() == 0, leaving.output()
    assert deaths() == [("ready", 0)]


def test_a_hung_engine_is_replaced_and_what_hung_it_ends_alone(
    client: TestClient, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs(monkeypatch, models=write_catalog(tmp_path / "hung", seconds_per_batch=600), hang_seconds=0.5, max_deaths=1)
    with worker("generate", logs) as hanging:
        answer = client.post("/v1/jobs", json={"kind": "generate", "items": ["a"]})
        job = answer.json()["id"]
        wait_until(lambda: client.get(f"/v1/jobs/{job}").json()["state"] == "completed", 60)
        assert hanging.is_running
        assert "the engine's process hangs: replacing it" in hanging.output()
    [line] = client.get(f"/v1/jobs/{job}/results").content.splitlines()
    assert from_json(line)["error"]["code"] == "worker_lost"


def test_a_worker_that_hangs_while_its_parent_is_frozen_loses_its_work(
    client: TestClient, logs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs(monkeypatch, models=write_catalog(tmp_path / "hung", seconds_per_batch=600), hang_seconds=3)
    with worker("generate", logs) as hanging:
        client.post("/v1/jobs", json={"kind": "generate", "items": ["a"]})
        wait_until(lambda: deaths() == [("leased", 1)])
        assert hanging.pid is not None
        os.kill(hanging.pid, signal.SIGSTOP)
        wait_until(lambda: deaths() == [("ready", 1)])
