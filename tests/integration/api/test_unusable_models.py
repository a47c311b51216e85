"""Models of ``models.toml`` that cannot be served: said by the list, and refused before an item is read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests import ledger
from tests.fakes import CATALOG, write_config
from tests.integration.conftest import RunWorker, submit
from tests.ledger import knobs, sql
from worker.generation import models
from worker.process import Worker

THREAT = "I will find you and kill you"
LABELS = {"0": "O", "1": "B-PER"}
SOFTMAX = {"0": "neutral", "1": "toxic"}
MODELS = """
[models.mine]
path = "mine"
[models.mine.moderate]
"""

#: Writes the folder of the model ``mine`` and names it in the catalog.
Serve = Callable[..., Path]


@pytest.fixture
def serve(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    knobs(monkeypatch, models_seconds=1e-9)

    def write(name: str, more: str = "", **config: Any) -> Path:
        catalog.write_text(CATALOG + MODELS + more)
        return write_config(catalog.parent / "mine", name, **config)

    return write


def native(client: TestClient, **more: str) -> Any:
    return client.post("/v1/jobs", json={"kind": "moderate", "items": [THREAT], **more})


def shown(client: TestClient) -> Any:
    [found] = [model for model in client.get("/v1/models").json()["data"] if model["id"] == "mine"]
    return found


#: What looks like a moderator and is none: its class and ``config.json``, and what the refusal says.
IMPOSTORS = [
    ("LlamaForCausalLM", {"model_type": "llama"}, "LlamaForCausalLM (decoder-only) cannot serve moderate"),
    ("BertForTokenClassification", {"id2label": LABELS}, "labels single words (a token classifier)"),
    ("BertForSequenceClassification", {"id2label": SOFTMAX}, 'harmless = ["neutral"]'),
    ("BertForSequenceClassification", {"id2label": {"0": "LABEL_0"}}, "as a reranker or a reward model"),
    ("BertForMaskedLM", {}, "fills in masked words"),
    ("BertModel", {"model_type": "bert"}, "BertModel (embedder) cannot serve moderate"),
]


@pytest.mark.parametrize(("name", "config", "said"), IMPOSTORS)
def test_both_surfaces_refuse_what_is_no_moderator(
    name: str, config: dict[str, Any], said: str, serve: Serve, client: TestClient
) -> None:
    serve(name, **config)
    for answer in (native(client), native(client, model="mine")):
        assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
        problem = answer.json()
        assert problem["type"] == "urn:lengthwise:problem:model-unusable"
        assert (problem["field"], said in problem["detail"]) == ("model", True)
    for body in ({"input": THREAT}, {"input": THREAT, "model": "mine"}):
        answer = client.post("/v1/moderations", json=body)
        assert (answer.status_code, answer.headers["x-should-retry"]) == (409, "false")
        error = answer.json()["error"]
        assert (error["code"], error["param"], said in error["message"]) == ("model_unusable", "model", True)
    assert sql("SELECT count(*) FROM jobs") == [(0,)]
    found = shown(client)
    assert (found["usable"], said in found["reason"] + found["remedy"]) == (False, True)


@pytest.mark.parametrize(("name", "config", "said"), IMPOSTORS)
def test_a_line_of_a_batch_is_refused_as_well(
    name: str, config: dict[str, Any], said: str, serve: Serve, catalog: Path
) -> None:
    from api.openai.line_reader import LineError, LineReader
    from lengthwise.models.catalog import Catalog
    from lengthwise.settings import Settings

    serve(name, **config)
    line = {"custom_id": "a", "method": "POST", "url": "/v1/moderations", "body": {"model": "mine", "input": THREAT}}
    reader = LineReader("/v1/moderations", Catalog.read(catalog), Settings())
    with pytest.raises(LineError, match="cannot be served") as refused:
        reader.read(json.dumps(line).encode())
    assert (refused.value.code, refused.value.param) == ("model_unusable", "model")
    assert said in str(refused.value)


def test_the_line_that_the_refusal_names_makes_the_model_usable(
    serve: Serve, client: TestClient, catalog: Path
) -> None:
    serve("BertForSequenceClassification", id2label=SOFTMAX)
    line, _, place = shown(client)["remedy"].removeprefix("write ").partition(" into ")
    assert place == "[models.mine.moderate] of models.toml"
    catalog.write_text(f"{CATALOG}{MODELS}{line}\n")
    assert native(client).status_code == 202
    assert (shown(client)["usable"], shown(client)["reason"], shown(client)["remedy"]) == (True, None, None)


def test_a_mended_folder_is_usable_at_the_next_request(serve: Serve, client: TestClient) -> None:
    folder = serve("BertForSequenceClassification", id2label=SOFTMAX)
    assert native(client).status_code == 409
    (folder / "tokenizer.json").unlink()
    assert "tokenizer.json" in native(client).json()["detail"]
    (folder / "config.json").unlink()
    assert "config.json" in native(client).json()["detail"]
    shutil.rmtree(folder)
    assert "does not exist" in native(client).json()["detail"]
    assert (shown(client)["revision"], shown(client)["context"], shown(client)["created"]) == (None, None, 0)
    serve(
        "BertForSequenceClassification", id2label={"0": "toxic", "1": "hate"}, problem_type="multi_label_classification"
    )
    assert native(client).status_code == 202
    assert shown(client)["context"] == 512


def test_a_model_that_spoils_hides_no_other_one(serve: Serve, client: TestClient, catalog: Path) -> None:
    serve("BertForTokenClassification", id2label=LABELS)
    named = {model["id"]: model["usable"] for model in client.get("/v1/models").json()["data"]}
    assert named == {"echo": True, "mine": False}
    submit(client, ["abc"])
    one = client.get("/v1/models/mine").json()
    assert one == shown(client)
    assert str(catalog.parent) not in json.dumps(one)


def test_a_job_that_names_no_model_gets_one_that_can_be_served(serve: Serve, client: TestClient, catalog: Path) -> None:
    labels = {"id2label": {"0": "hate"}}
    write_config(catalog.parent / "good", "BertForSequenceClassification", **labels)
    serve("LlamaForCausalLM", '[models.good]\npath = "good"\n[models.good.moderate]\n')
    answer = native(client)
    assert (answer.status_code, answer.json()["model"]) == (202, "good")
    assert native(client, model="mine").status_code == 409


def test_a_failed_item_is_not_retried_on_a_model_that_spoiled(
    client: TestClient, catalog: Path, run_worker: RunWorker
) -> None:
    job = submit(client, ["abc", "x" * 600])
    run_worker()
    (catalog.parent / "echo" / "tokenizer.json").rename(catalog.parent / "kept.json")
    answer = client.post(job["links"]["retry"])
    assert (answer.status_code, answer.json()["title"]) == (409, "model unusable")
    (catalog.parent / "kept.json").rename(catalog.parent / "echo" / "tokenizer.json")
    again = client.post(job["links"]["retry"])
    assert (again.status_code, again.json()["title"]) != (409, "model unusable")


def test_a_queued_job_of_a_model_that_spoiled_ends_by_name(
    worker: Worker, catalog: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    knobs(monkeypatch, model_wait_seconds=0)
    job = ledger.submit(["abc"])
    (catalog.parent / "echo" / "tokenizer.json").unlink()
    worker.generate(ledger.POOL)
    assert {line["error"]["code"] for line in ledger.outputs(job).values()} == {"model_unavailable"}
    assert "model echo not loaded: tokenizer.json does not exist in its folder" in caplog.text


def test_a_worker_loads_a_model_once_it_is_mended(
    worker: Worker, catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "_FAILURE_SECONDS", 0)
    config = catalog.parent / "echo" / "config.json"
    right = config.read_text()
    config.write_text(right.replace("512", '"many"'))
    spec = worker.models.spec("echo")
    assert spec is not None
    assert not worker.models.load(spec)
    config.write_text(right)
    assert worker.models.load(spec)


def test_where_workers_run_beside_the_api_weights_must_be_there(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    knobs(monkeypatch, has_local_workers="true")
    folder = serve("BertForSequenceClassification", id2label={"0": "hate"})
    client: TestClient = request.getfixturevalue("client")
    assert "no model.safetensors" in native(client).json()["detail"]
    (folder / "model.safetensors").touch()
    assert native(client).status_code == 202
