"""``lengthwise webhooks`` against the API of this process."""

import json
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from lengthwise.cli.main import app
from tests.integration.webhooks.hooks import PATH, deliveries

URL = "https://8.8.8.8/hook"


@pytest.fixture
def connected(client: TestClient, monkeypatch: pytest.MonkeyPatch, api_key: str) -> TestClient:
    """Every httpx client of the command line talks to ``client``'s API, with the admin key."""

    class Connected:
        def __init__(self, *, base_url: str, headers: dict[str, str], timeout: float) -> None:
            assert (base_url, headers) == ("http://api", {"Authorization": f"Bearer {api_key}"})
            self._headers = headers

        def __enter__(self) -> "Connected":
            return self

        def __exit__(self, *_: object) -> None:
            """Closes nothing, because the API is still used."""

        def request(self, method: str, path: str, **more: Any) -> Any:
            return client.request(method, path, headers=self._headers, **more)

    monkeypatch.setattr(httpx, "Client", Connected)
    monkeypatch.setenv("LENGTHWISE_URL", "http://api")
    monkeypatch.setenv("LENGTHWISE_API_KEY", api_key)
    return client


def run(*arguments: str, code: int = 0) -> str:
    ran = CliRunner().invoke(app, ["webhooks", *arguments])
    assert ran.exit_code == code, ran.output
    return ran.stdout if code == 0 else ran.stderr


def test_an_endpoint_is_created_listed_rotated_and_deleted(connected: TestClient) -> None:
    made = json.loads(run("create", URL, "--event", "job.results", "--filter", "flagged == true", "--json"))
    assert made["secret"].startswith("whsec_")
    assert URL in run("list")
    assert [each["id"] for each in json.loads(run("list", "--json"))] == [made["id"]]
    sent = connected.post(f"{PATH}/{made['id']}/test").json()
    assert "endpoint.test" in run("deliveries", made["id"])
    assert [each["id"] for each in json.loads(run("deliveries", made["id"], "--state", "pending", "--json"))] == [
        sent["id"]
    ]
    assert run("resend", sent["id"]) == "pending\n"
    assert json.loads(run("replay", made["id"], "--since", "2020-01-01", "--json")) == {"replayed": 0}
    rotated = json.loads(run("rotate", made["id"], "--overlap", "60", "--json"))
    assert rotated["secret"] not in (made["secret"], None)
    assert len(deliveries(connected, made)) == 1
    assert run("delete", made["id"]) == "deleted\n"
    assert json.loads(run("list", "--json")) == []


def test_a_refusal_is_one_line_and_an_exit_code(connected: TestClient) -> None:
    assert "events: has an unknown event" in run("create", URL, "--event", "nothing", code=3)
    assert "there is no such webhook endpoint" in run("rotate", "nothing", code=3)
    assert "there is no such webhook endpoint" in run("delete", "../jobs/x", code=3)


def test_the_error_for_a_server_that_is_away_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LENGTHWISE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("LENGTHWISE_API_KEY", "lw_unused")
    assert "is it running?" in run("list", code=3)
