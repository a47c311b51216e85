"""Errors that no caller causes: bugs of ours, a missing model, a full disk."""

import errno
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.http import spool
from api.jobs import routes

CANARY = "CaNaRy"


def raises(error: Exception) -> Any:
    def fails(*_: object, **__: object) -> None:
        raise error

    return fails


def test_an_unexpected_error_never_shows_what_was_sent(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(routes, "_submit", raises(ValueError(CANARY)))
    answer = client.post("/v1/jobs", json={"kind": "generate", "items": [CANARY]})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "this is a mistake of ours"
    assert "unexpected ValueError" in caplog.text
    [raised] = [record.raised for record in caplog.records if hasattr(record, "raised")]
    assert raised[0]["frames"][-1].endswith(" fails"), "the log says where"
    assert CANARY not in answer.text + caplog.text


def test_a_tokenizer_that_cannot_be_read_is_a_409_that_says_so(
    client: TestClient, catalog: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (catalog.parent / "echo" / "tokenizer.json").write_text("{")
    answer = client.post("/v1/jobs", json={"kind": "generate", "items": [CANARY]})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:lengthwise:problem:model-unusable")
    assert "tokenizer.json" in answer.json()["detail"]
    assert CANARY not in answer.text + caplog.text


@pytest.mark.parametrize(("number", "status"), [(errno.ENOSPC, 507), (errno.EDQUOT, 507), (errno.EIO, 500)])
def test_a_full_disk_is_a_507(client: TestClient, monkeypatch: pytest.MonkeyPatch, number: int, status: int) -> None:
    monkeypatch.setattr(spool.Spools, "_spool", raises(OSError(number, CANARY)))
    answer = client.post("/v1/jobs", json={"kind": "generate", "items": ["x"]})
    assert answer.status_code == status
    assert ("retry-after" in answer.headers) is (status == 507)
    assert CANARY not in answer.text
