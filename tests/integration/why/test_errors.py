"""The errors of a job's failed items: by code, with the first items and the command that retries."""

from typing import Any

import pytest
from pydantic_core import to_json
from starlette.testclient import TestClient

from lengthwise import database
from lengthwise.ledger import job_figures
from lengthwise.ledger.queue import settle
from lengthwise.ledger.queue.settle import ItemResult, Settlement
from lengthwise.ledger.why import failed_lines
from lengthwise.states import ResultStatus
from tests.fakes import PickyEngine
from tests.integration.conftest import EngineInstaller, RunWorker, read_job, submit
from tests.ledger import knobs, must_take
from tests.ledger import submit as submitted
from worker.process import Worker


def errors(client: TestClient, job: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = read_job(client, job["id"])["progress"]["errors"]
    return found


@pytest.mark.usefixtures("each_store")
def test_errors_are_counted_by_code_with_the_first_items(client: TestClient, run_worker: RunWorker) -> None:
    long = [{"id": f"long-{number}", "text": "x" * 600} for number in range(7)]
    job = submit(client, ["abc", *long, "x" * 600])
    run_worker()
    [found] = errors(client, job)
    assert (found["code"], found["count"], found["at_least"]) == ("too_long", 8, False)
    assert found["first_items"] == ["long-0", "long-1", "long-2", "long-3", "long-4"]
    assert "shorten or split" in found["message"]
    assert found["retry"] is None, "a retry does not make a text shorter"


def test_an_item_without_an_id_is_named_by_its_index(client: TestClient, run_worker: RunWorker) -> None:
    job = submit(client, ["abc", "x" * 600])
    run_worker()
    assert errors(client, job)[0]["first_items"] == ["1"]


def test_the_command_that_retries_is_named_once_the_job_has_ended(
    client: TestClient, worker: Worker, install_engine: EngineInstaller, monkeypatch: pytest.MonkeyPatch
) -> None:
    knobs(monkeypatch, shard_items=1)
    install_engine(lambda spec: PickyEngine(spec, length=5))
    job = submit(client, ["x" * 5, "y" * 20])
    assert errors(client, job) == []
    worker.generate("echo:1")
    [found] = errors(client, job)
    assert (found["code"], found["count"], found["first_items"]) == ("engine_error", 1, ["0"])
    assert found["retry"] == f"lengthwise retry {job['id']}"
    assert client.post(f"/v1/jobs/{job['id']}/retry").status_code == 202


def settle_with(code: str) -> None:
    """Settles all shards that are ready, each item failed with this code."""
    claimed = must_take()
    lines = {
        item.index: to_json({"index": item.index, "status": "failed", "error": {"code": code, "message": ""}}) + b"\n"
        for item in claimed.items
    }
    with database.engine().begin() as connection:
        settle.settle(
            connection,
            claimed.token,
            [
                Settlement(
                    shard,
                    claimed.shards[shard].store,
                    [
                        ItemResult(item.index, ResultStatus.FAILED, lines[item.index])
                        for item in claimed.items
                        if item.shard_id == shard
                    ],
                    1,
                    1,
                    1.0,
                )
                for shard in claimed.shard_ids
            ],
        )


@pytest.mark.parametrize(("limit", "value"), [("_LINES", 3), ("_FAILED_SHARDS", 1), ("_SHARDS", 1)])
def test_what_is_not_counted_is_said(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(failed_lines, limit, value)
    job = submitted(["x" * 10] * 9, shard_items=3)
    settle_with("engine_error")
    [found] = errors(client, {"id": str(job)})
    assert (found["count"], found["at_least"]) == (3, True)


def test_no_line_is_read_if_no_item_failed(client: TestClient) -> None:
    job = submitted(["x" * 10])
    with database.engine().begin() as connection:
        assert failed_lines.read_some(connection, job_figures.read(connection, job)) == []


def test_a_list_has_no_progress(client: TestClient) -> None:
    made = submit(client, ["abc"])
    assert made["progress"] is None
    assert client.get("/v1/jobs").json()["data"][0]["progress"] is None
    assert read_job(client, made["id"])["progress"]["reason"] == "no_worker"
