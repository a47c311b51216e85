"""Texts to vectors, through the API, the ledger and a worker with a tiny model."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

from tests.engine import tiny
from tests.integration.conftest import RunWorker, submit

CATALOG = """
[models.tiny]
path = "tiny"
quantization = "none"
device = "cpu"
[models.tiny.embed]
prefix = { query = "", passage = "w007 " }
"""


@pytest.fixture
def embedding(catalog: Path) -> Any:
    """The model in transformers. The catalog names it beside the echo model."""
    (catalog.parent / "tiny").mkdir()
    model = tiny.write("embed-bert", catalog.parent / "tiny")
    catalog.write_text(catalog.read_text() + CATALOG)
    return model


def embeddings(client: TestClient, run_worker: RunWorker, texts: list[str], **params: str) -> list[list[float]]:
    job = submit(client, list(texts), "embed", **params)
    run_worker()
    lines = [json.loads(line) for line in client.get(job["links"]["results"]).text.splitlines()]
    assert [(line["status"], line["usage"]["output_tokens"]) for line in lines] == [("succeeded", 0)] * len(texts)
    return [line["output"]["embedding"] for line in lines]


def test_texts_become_vectors_in_their_order(embedding: Any, client: TestClient, run_worker: RunWorker) -> None:
    texts = [tiny.text([token]) for token in range(5, 25)]
    found = embeddings(client, run_worker, texts)
    hidden = embedding(torch.tensor([[5]])).last_hidden_state
    assert found[0] == pytest.approx(hidden[0].mean(dim=0).tolist(), abs=1e-5)
    assert {len(vector) for vector in found} == {64}
    assert len({tuple(vector) for vector in found}) == len(texts)
    alone = [embeddings(client, run_worker, [text])[0] for text in texts[:3]]
    assert torch.allclose(torch.tensor(alone), torch.tensor(found[:3]), rtol=0, atol=1e-5)


def test_the_model_reads_the_prefix_before_each_text(embedding: Any, client: TestClient, run_worker: RunWorker) -> None:
    [query] = embeddings(client, run_worker, ["w005 "], prefix="query")
    [passage] = embeddings(client, run_worker, ["w005 "], prefix="passage")
    assert query != passage


def test_a_text_beyond_the_context_is_cut_with_a_warning_or_refused(
    embedding: Any, client: TestClient, run_worker: RunWorker
) -> None:
    texts = ["w005 " * 128, "w005 " * 127 + "w006 " * 3]

    def lines(**params: bool) -> list[dict[str, Any]]:
        job = submit(client, list(texts), "embed", **params)
        run_worker()
        return [json.loads(line) for line in client.get(job["links"]["results"]).text.splitlines()]

    assert [line.get("error", {}).get("code") for line in lines()] == [None, "too_long"]
    whole, cut = lines(truncate=True)
    assert (whole["status"], cut["status"], cut["usage"]["input_tokens"]) == ("succeeded", "succeeded", 128)
    assert ("warnings" in whole, cut["warnings"]) == (False, ["truncated"])
    hidden = embedding(torch.tensor([[5] * 127 + [6]])).last_hidden_state
    assert cut["output"]["embedding"] == pytest.approx(hidden[0].mean(dim=0).tolist(), abs=1e-5)


def test_a_prefix_that_no_model_has_is_refused(embedding: Any, client: TestClient) -> None:
    refused = client.post("/v1/jobs", json={"kind": "embed", "items": ["a"], "prefix": "canary"})
    assert (refused.status_code, refused.json()["field"]) == (422, "prefix")
    assert "known here: query, passage" in refused.json()["detail"]
    assert "canary" not in refused.text
