"""What the API and the commands say of workers: who may see them, which are lost, and what ``/readyz`` says."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg
import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from api.admin import readiness
from lengthwise.cli.main import app
from lengthwise.client import Client
from lengthwise.ledger import workers
from lengthwise.ledger.workers import ReportedModel
from lengthwise.settings import Settings
from lengthwise.states import WorkerRole, WorkerState
from tests.integration.access import keys
from tests.integration.client.test_client import url
from tests.integration.workers.reported import deliverer, report
from tests.ledger import knobs, sql

__all__ = ["url"]

FAILED = ReportedModel(name="echo", state="failed", reason="its weights do not fit", failed_seconds=90)
LOADED = ReportedModel(
    name="echo",
    state="loaded",
    revision="r1",
    quantization="int8",
    device="cpu",
    memory_bytes=38_000_000,
    load_seconds=1.25,
    paused_seconds=60,
    paused_for="the server is away",
)


def age(seconds: float) -> None:
    """Lets every report be so much older."""
    sql("UPDATE workers SET seen_at = seen_at - make_interval(secs => :seconds)", seconds=seconds)


def listed(client: TestClient) -> list[dict[str, Any]]:
    answer = client.get("/v1/workers")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def test_a_worker_is_listed_with_all_that_it_reported(client: TestClient) -> None:
    made = report(
        [LOADED], state=WorkerState.WORKING, model="echo", pool="echo:1", batch_rows=64, batch_tokens=3968,
        last_error="EngineError: the batch failed", error_seconds=5.0,
    )  # fmt: skip
    [shown] = listed(client)
    assert shown["id"] == str(made)
    assert (shown["role"], shown["name"], shown["host"], shown["pid"]) == ("generate", "generate-1", "node1", 7)
    assert (shown["state"], shown["model"], shown["pool"]) == ("working", "echo", "echo:1")
    assert (shown["batch_rows"], shown["batch_tokens"]) == (64, 3968)
    assert (shown["items"], shown["tokens"], shown["items_per_second"]) == (3, 30, 1.5)
    assert 0 <= shown["seen_seconds"] < 60
    [model] = shown["models"]
    assert (model["revision"], model["memory_bytes"], model["load_seconds"]) == ("r1", 38_000_000, 1.25)
    assert (model["reason"], model["failed_at"], model["paused_for"]) == (None, None, "the server is away")
    assert datetime.fromisoformat(model["paused_until"]) > datetime.fromisoformat(shown["seen_at"])
    assert shown["last_error"] == "EngineError: the batch failed"
    assert shown["last_error_at"] < shown["seen_at"]


@pytest.mark.parametrize("reported", [state for state in WorkerState if state is not WorkerState.LOST])
def test_a_worker_is_lost_after_three_periods_whatever_it_did(client: TestClient, reported: WorkerState) -> None:
    report(state=reported)
    age(10)
    assert [each["state"] for each in listed(client)] == [reported]
    age(6)
    [shown] = listed(client)
    assert shown["state"] == "lost"
    assert shown["seen_seconds"] >= 16


def test_a_lost_worker_that_reports_again_is_back(client: TestClient) -> None:
    made = report()
    age(1000)
    assert [each["state"] for each in listed(client)] == ["lost"]
    report(id=made, state=WorkerState.WORKING)
    assert [each["state"] for each in listed(client)] == ["working"]


def test_the_period_is_a_setting(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    knobs(monkeypatch, presence_seconds=2)
    client: TestClient = request.getfixturevalue("client")
    report()
    age(7)
    assert [each["state"] for each in listed(client)] == ["lost"]


def test_lost_workers_come_last(client: TestClient) -> None:
    report(name="generate-0")
    age(100)
    deliverer()
    report(name="generate-2")
    report(name="generate-1")
    assert [each["name"] for each in listed(client)] == ["deliver-1", "generate-1", "generate-2", "generate-0"]


def test_the_newest_are_listed_if_there_are_very_many(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_MOST", 3)
    for number in range(5):
        age(1)
        report(name=f"generate-{number}")
    assert [each["name"] for each in listed(client)] == ["generate-2", "generate-3", "generate-4"]


@pytest.mark.parametrize(
    ("scopes", "of_first_tenant", "status"),
    [
        (("admin",), True, 200),
        (("read", "submit", "webhooks"), True, 403),
        (("admin",), False, 403),
        (("read",), False, 403),
    ],
)
def test_only_the_installations_operator_sees_workers(
    client: TestClient, scopes: tuple[str, ...], of_first_tenant: bool, status: int
) -> None:
    report()
    more = {} if of_first_tenant else {"tenant": keys.new_tenant(client)}
    key = keys.new_key(client, *scopes, **more)["key"]
    answer = keys.ask(client, key, path="/v1/workers")
    assert answer.status_code == status
    assert ("generate-1" in answer.text) is (status == 200)


@pytest.fixture
def ready(client: TestClient) -> Callable[[], tuple[str, list[str]]]:
    """Asks ``/readyz`` as if a second had passed. It is 200 in all of these tests."""

    def ask() -> tuple[str, list[str]]:
        client.app.state.readiness._due_at = 0.0  # type: ignore[attr-defined]
        answer = client.get("/readyz")
        assert answer.status_code == 200, answer.text
        return answer.json()["status"], answer.json()["reasons"]

    return ask


Ask = Callable[[], tuple[str, list[str]]]


def test_with_a_worker_of_each_kind_it_is_ready(ready: Ask) -> None:
    report([LOADED])
    deliverer()
    assert ready() == ("ready", [])


@pytest.mark.parametrize("is_lost", [True, False])
def test_without_a_live_generation_worker_it_is_degraded(ready: Ask, is_lost: bool) -> None:
    if is_lost:
        report([LOADED])
        age(16)
    deliverer()
    assert ready() == ("degraded", [readiness.NO_GENERATION])


@pytest.mark.parametrize("is_lost", [True, False])
def test_without_a_live_delivery_worker_it_is_degraded(ready: Ask, is_lost: bool) -> None:
    if is_lost:
        deliverer()
        age(16)
    report()
    assert ready() == ("degraded", [readiness.NO_DELIVERY])


def test_with_a_model_that_no_worker_could_load_it_is_degraded(ready: Ask) -> None:
    deliverer()
    report([FAILED])
    status, [reason] = ready()
    assert (status, reason.startswith("1 of the models could not be loaded")) == ("degraded", True)
    assert "echo" not in reason, "whoever asks has no key"
    report([LOADED], name="generate-2")
    assert ready() == ("ready", [])


def test_a_failed_model_that_is_named_no_more_degrades_nothing(ready: Ask) -> None:
    deliverer()
    report([ReportedModel(name="gone", state="failed", reason="no")])
    assert ready() == ("ready", [])


def test_while_the_workers_table_is_locked_it_says_that_it_does_not_know(ready: Ask, installed: Settings) -> None:
    report()
    deliverer()
    with psycopg.connect(installed.require_database_url()) as operator:
        operator.execute("LOCK TABLE workers IN ACCESS EXCLUSIVE MODE")
        assert ready() == ("degraded", [readiness.UNKNOWN])
        operator.rollback()
    assert ready() == ("ready", [])


def test_however_often_it_is_asked_the_workers_are_looked_up_once_a_second(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, real_find = [0], workers.find_live

    def counted(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        return real_find(*arguments, **named)

    monkeypatch.setattr(workers, "find_live", counted)
    monkeypatch.setattr(readiness, "_LOOK_SECONDS", 600)
    answers = [client.get("/readyz").json() for _ in range(20)]
    assert answers[0]["status"] == "degraded"
    assert answers == [answers[0]] * 20
    assert calls == [1]


def test_if_the_database_is_not_migrated_it_is_not_ready(client: TestClient) -> None:
    sql("ALTER TABLE workers RENAME TO elsewhere")
    assert client.get("/readyz").status_code == 503


def run(url: str, key: str, *arguments: str) -> str:
    ran = CliRunner().invoke(app, ["workers", "--url", url, "--key", key, *arguments])
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def test_the_command_lists_workers_and_their_troubles(url: str, api_key: str) -> None:
    report(
        [LOADED], state=WorkerState.WORKING, model="echo", pool="echo:1", batch_rows=64, batch_tokens=3968,
        last_error="EngineError: the batch failed", error_seconds=5.0,
    )  # fmt: skip
    report([FAILED], name="generate-[2]")
    age(200)
    deliverer()
    shown = run(url, api_key)
    assert [line.split()[1] for line in shown.splitlines()[1:4]] == ["deliver-1", "generate-1", "generate-[2]"]
    assert "lost" in shown and "3 min ago" in shown
    assert "echo, 64 rows, 3968 tokens" in shown and "echo (38 MB)" in shown
    assert "generate-1: model echo pauses until" in shown
    assert "generate-1: last error at" in shown
    assert "generate-[2]: model echo could not be loaded at" in shown
    parsed = json.loads(run(url, api_key, "--json"))
    assert [each["state"] for each in parsed] == ["idle", "lost", "lost"]


def test_the_client_lists_workers(url: str, api_key: str) -> None:
    report([LOADED])
    with Client(url, api_key) as lengthwise:
        [worker] = lengthwise.workers()
    assert (worker.role, worker.state, worker.models[0].memory_bytes) == (WorkerRole.GENERATE, "idle", 38_000_000)
