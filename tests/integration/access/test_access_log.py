"""The log line of each request, and the id that it shares with the answer."""

import json
import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from starlette.testclient import TestClient

from api.admin import installation
from api.jobs.schema import ModelList
from api.state import State
from lengthwise import logs
from lengthwise.logs.form import JsonFormatter
from tests.integration.conftest import submit

CANARY = "CaNaRy"
ID = UUID("8c0f3f0e-1c55-4a0b-9d57-3f4f6a4f2b11")
#: The lines of the access log since the last call, as they are written.
Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    caplog.set_level(logging.DEBUG, "api")

    def taken() -> list[dict[str, Any]]:
        found = [record for record in caplog.records if record.name == "api.shield"]
        assert not any(CANARY.lower() in JsonFormatter("api", "api-1").format(record).lower() for record in found)
        shown = [{**record.fields, "level": record.levelname} for record in found if hasattr(record, "fields")]
        caplog.clear()
        return shown

    return taken


def test_a_line_names_the_route_and_never_the_path(client: TestClient, lines: Lines) -> None:
    client.get(f"/v1/jobs/{CANARY}?after={CANARY}")
    [line] = lines()
    assert (line["method"], line["route"], line["status"]) == ("GET", "/v1/jobs/{job_id}", 404)
    assert 0 <= line["seconds"] < 60
    assert line["key"] is not None
    assert line["job"] is None


def test_a_job_is_found_from_its_acceptance_on(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "api")
    job = submit(client, [CANARY], name=CANARY)["id"]
    client.get(f"/v1/jobs/{job}/results?{CANARY}")
    client.post(f"/v1/jobs/{job}/cancel")
    shown = [json.loads(JsonFormatter("api", "api-1").format(record)) for record in caplog.records]
    of_job = [line["message"] for line in shown if line.get("job") == job]
    assert of_job == [
        "a job was accepted: kind generate, model echo",
        "GET /v1/jobs/{job_id}/results: 200",
        "POST /v1/jobs/{job_id}/cancel: 200",
    ]
    assert CANARY not in json.dumps(shown)


@pytest.mark.parametrize(
    ("method", "path", "shown"),
    [
        ("GET", f"/{CANARY}", ("GET", None, 404)),
        ("GET", f"/v1/jobs/%2e%2e/{CANARY}", ("GET", None, 404)),
        (CANARY, "/v1/jobs", ("other", "/v1/jobs", 405)),
        ("PATCH", "/v1/jobs", ("PATCH", "/v1/jobs", 405)),
    ],
)
def test_a_request_that_fits_no_route_is_a_line_too(
    client: TestClient, lines: Lines, method: str, path: str, shown: tuple[str, str | None, int]
) -> None:
    client.request(method, path)
    [line] = lines()
    assert (line["method"], line["route"], line["status"]) == shown


def test_a_line_without_a_valid_key_names_none(client: TestClient, lines: Lines) -> None:
    assert client.get("/v1/jobs", headers={"Authorization": f"Bearer {CANARY}"}).status_code == 401
    [line] = lines()
    assert (line["status"], line["key"]) == (401, None)


def test_a_probe_is_a_detail(client: TestClient, lines: Lines) -> None:
    client.get("/healthz")
    client.get("/readyz")
    assert [line["level"] for line in lines()] == ["DEBUG", "DEBUG"]
    client.get("/v1/models")
    assert [line["level"] for line in lines()] == ["INFO"]


@pytest.mark.parametrize("given", [str(ID), ID.hex, f"req_{ID.hex}"])
def test_a_well_formed_id_of_the_caller_is_kept(client: TestClient, given: str) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", CANARY, "0" * 31, "0" * 33, f"{ID}x", f"{ID.hex}\t", "req_", "١" * 32])
def test_any_other_is_replaced(client: TestClient, given: str) -> None:
    found = client.get("/healthz", headers={b"X-Request-Id": given.encode()}).headers["x-request-id"]
    assert found.startswith("req_")
    assert CANARY not in found


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is bound while ``GET /v1/models`` is answered, in a thread."""
    seen: list[dict[str, Any]] = []
    listing = installation._list

    def noting(state: State) -> ModelList:
        seen.append(dict(logs.current()))
        return listing(state)

    monkeypatch.setattr(installation, "_list", noting)
    return seen


def test_what_a_request_logs_bears_the_id_of_its_answer(client: TestClient, bound: list[dict[str, Any]]) -> None:
    ids = [client.get("/v1/models").headers["x-request-id"] for _ in range(2)]
    assert [each["request"] for each in bound] == ids
    assert dict(logs.current()) == {}


def test_the_trace_of_a_request_is_in_its_lines(client: TestClient, bound: list[dict[str, Any]]) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    whole = f"00-{trace}-00f067aa0ba902b7-01"
    for headers in ([("traceparent", whole)], [("traceparent", CANARY)], [("traceparent", whole)] * 2):
        client.get("/v1/models", headers=headers)
    assert [each["trace"] for each in bound] == [trace, None, None]


def test_a_mistake_of_ours_is_found_by_the_id_in_its_answer(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[object] = []

    def fails(*_: object, **__: object) -> None:
        seen.append(logs.current()["request"])
        raise ValueError(CANARY)

    monkeypatch.setattr("api.jobs.routes._submit", fails)
    answer = client.post("/v1/jobs", json={"kind": "generate", "items": [CANARY]})
    assert (answer.status_code, [answer.headers["x-request-id"]]) == (500, seen)
    assert CANARY not in caplog.text
