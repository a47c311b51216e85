"""The API's list of models while ``models.toml`` is edited."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from tests.fakes import CATALOG, write_echo_model
from tests.integration.conftest import submit
from tests.ledger import knobs


@pytest.fixture
def _seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """An API that never reloads the file by itself."""
    knobs(monkeypatch, models_seconds=600)


@pytest.mark.usefixtures("_seldom")
def test_a_reload_returns_the_models_now_in_force(catalog: Path, client: TestClient) -> None:
    before = client.get("/v1/models").json()
    assert before["is_current"]
    write_echo_model(catalog.parent / "second")
    catalog.write_text(CATALOG.replace('path = "echo"', 'path = "second"\nrevision = "second"'))
    assert client.get("/v1/models").json() == before
    reloaded = client.post("/v1/models/reload").json()
    assert (reloaded["data"][0]["revision"], reloaded["is_current"]) == ("second", True)
    assert client.get("/v1/models").json() == reloaded


@pytest.mark.usefixtures("_seldom")
def test_an_invalid_reload_is_refused_and_jobs_are_accepted_as_before(catalog: Path, client: TestClient) -> None:
    before = client.get("/v1/models").json()
    catalog.write_text("[models")
    refused = client.post("/v1/models/reload")
    assert (refused.status_code, refused.headers["content-type"]) == (409, "application/problem+json")
    assert str(catalog.parent) not in refused.text
    assert client.get("/v1/models").json() == before | {"is_current": False}
    submit(client, ["abc"])


def test_the_api_reloads_the_file_by_itself(
    catalog: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    knobs(monkeypatch, models_seconds=1e-9)
    client: TestClient = request.getfixturevalue("client")
    assert client.post("/v1/jobs", json={"kind": "chat", "items": [{"text": "abc"}]}).status_code == 422
    (catalog.parent / "echo" / "chat_template.jinja").write_text("{{ messages[0].content }}")
    catalog.write_text(CATALOG + "[models.echo.chat]\n")
    submit(client, [{"text": "abc"}], kind="chat")
