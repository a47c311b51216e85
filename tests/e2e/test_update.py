"""``models.toml`` gets a new revision of a model while a real worker and the API run."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic_core import from_json
from starlette.testclient import TestClient

from api.app import create_app
from lengthwise.settings import Settings
from tests.caller import calling
from tests.fakes import CATALOG, write_catalog, write_echo_model
from tests.ledger import knobs, sql
from tests.servers import wait_until
from tests.workers import worker

TEXTS = [f"{number} " + "ab cd" * (number % 20) for number in range(1500)]


@pytest.fixture
def catalog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The catalog of an echo model that is slow enough for the job below to take seconds."""
    path = write_catalog(tmp_path, seconds_per_batch=0.1)
    knobs(monkeypatch, models=path, models_seconds=0.1)
    return path


@pytest.fixture
def client(installed: Settings, catalog: Path) -> Iterator[TestClient]:
    with calling(create_app()) as made:
        yield made


def name(catalog: Path, revision: str) -> None:
    """Makes a folder for this revision, whose weights alone differ from the others', and a catalog that names it."""
    folder = write_echo_model(catalog.parent / revision, seconds_per_batch=0.1)
    (folder / "model.safetensors").write_bytes(revision.encode())
    beside = catalog.with_name("beside.toml")
    beside.write_text(CATALOG.replace('path = "echo"', f'path = "{revision}"'))
    beside.replace(catalog)


def revision(client: TestClient) -> str:
    """Returns the revision that the API uses now."""
    shown: str = client.post("/v1/models/reload").raise_for_status().json()["data"][0]["revision"]
    return shown


def submitted(client: TestClient, texts: list[str]) -> str:
    answer = client.post("/v1/jobs", json={"kind": "generate", "items": texts})
    assert answer.status_code == 202, answer.text
    job: str = answer.json()["id"]
    return job


def makers(client: TestClient, job: str, texts: list[str]) -> Counter[str]:
    """Waits until the job has ended and counts results by revision. Checks that every item is right and occurs once."""
    wait_until(lambda: client.get(f"/v1/jobs/{job}").json()["state"] == "completed", 120)
    lines = [from_json(line) for line in client.get(f"/v1/jobs/{job}/results").content.splitlines()]
    assert [(line["index"], line["output"]["text"]) for line in lines] == [
        (index, text[::-1]) for index, text in enumerate(texts)
    ]
    return Counter(line["model_revision"] for line in lines)


def test_a_worker_takes_a_new_revision_in_the_middle_of_a_job_and_while_it_is_idle(
    client: TestClient, catalog: Path, logs: Path
) -> None:
    with worker("generate", logs) as running:
        job = submitted(client, TEXTS)
        wait_until(lambda: sql("SELECT count(*) FROM results")[0][0] >= 100)
        first = revision(client)
        name(catalog, "second")
        second = revision(client)
        found = makers(client, job, TEXTS)
        assert found.keys() == {first, second}
        assert found[first] >= 100

        catalog.write_text("[models")
        wait_until(lambda: "the models stay as they were" in running.output())
        assert client.post("/v1/models/reload").status_code == 409
        assert makers(client, submitted(client, ["abc"]), ["abc"]) == {second: 1}

        name(catalog, "third")
        third = revision(client)
        wait_until(lambda: f"revision {third} took the place of {second}" in running.output())
        assert makers(client, submitted(client, ["abc"]), ["abc"]) == {third: 1}
        assert running.is_running
