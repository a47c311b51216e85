"""While one tenant holds as much as it can of what a process has, another tenant's submission is answered."""

import gzip
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from starlette.testclient import TestClient

from api.http.spool import Spools
from api.jobs import accept
from api.jobs.tables import parquet_items
from lengthwise.errors import TooBusy
from tests import servers as real
from tests.caller import bearer
from tests.integration.conftest import serving

JOB = {"kind": "generate", "model": "echo"}
#: A stall is longer than this, and an answer on a busy machine is not.
PATIENCE_SECONDS = 5.0

Send = Callable[[dict[str, str]], Any]


@pytest.fixture
def other(client: TestClient) -> dict[str, str]:
    """The header of another tenant's key."""
    tenant = client.post("/v1/tenants", json={"name": "other"}).json()["id"]
    made = client.post("/v1/keys", json={"name": "other", "scopes": ["submit", "read"], "tenant": tenant})
    return bearer(made.json()["key"])


def submit(client: TestClient, key: dict[str, str]) -> Any:
    return client.post("/v1/jobs", json=JOB | {"items": ["a"]}, headers=key)


def submit_parquet(client: TestClient, key: dict[str, str]) -> Any:
    file = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"]}), file)
    headers = key | {"content-type": "application/vnd.apache.parquet", "lengthwise-job": json.dumps(JOB)}
    return client.post("/v1/jobs", content=file.getvalue(), headers=headers)


@contextmanager
def held(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, n: int) -> Iterator[tuple[list[int], threading.Event]]:
    """The first ``n`` calls of a function begin, and wait until the block ends or the event is set."""
    original, begun, release = getattr(place, name), list[int](), threading.Event()

    def waits(*args: Any, **named: Any) -> Any:
        if len(begun) < n:
            begun.append(1)
            release.wait(60)
        return original(*args, **named)

    monkeypatch.setattr(place, name, waits)
    try:
        yield begun, release
    finally:
        release.set()


@pytest.mark.parametrize(
    ("place", "name", "send", "share", "n_sent"),
    [(accept, "accept", submit, 5, 60), (parquet_items, "_answers", submit_parquet, 1, 6)],
    ids=["submissions", "parquet"],
)
def test_one_tenant_does_not_keep_out_another(
    client: TestClient,
    other: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    place: Any,
    name: str,
    send: Callable[[TestClient, dict[str, str]], Any],
    share: int,
    n_sent: int,
) -> None:
    with ThreadPoolExecutor(n_sent) as callers, held(monkeypatch, place, name, share) as (begun, release):
        sent: list[Future[Any]] = [callers.submit(send, client, {}) for _ in range(n_sent)]
        began = time.monotonic()
        while len(begun) < share:
            time.sleep(0.01)
            assert time.monotonic() - began < 30
        time.sleep(0.2)
        assert not any(each.done() for each in sent), "the others wait for their turn"
        began = time.monotonic()
        assert send(client, other).status_code == 202
        assert submit(client, other).status_code == 202
        assert client.get("/v1/jobs").status_code == 200
        assert time.monotonic() - began < PATIENCE_SECONDS
        release.set()
        assert [each.result(60).status_code for each in sent] == [202] * n_sent


def test_more_parquet_files_than_may_wait_are_a_429(
    client: TestClient, other: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(9) as callers, held(monkeypatch, parquet_items, "_answers", 1) as (_, release):
        sent = [callers.submit(submit_parquet, client, {}) for _ in range(9)]
        time.sleep(1)
        assert submit_parquet(client, other).status_code == 202
        release.set()
        answers = [each.result(60) for each in sent]
    refused = [each for each in answers if each.status_code == 429]
    assert len(refused) == 3
    assert int(refused[0].headers["retry-after"]) > 0


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_body_that_unpacks_to_a_gibibyte_is_refused_at_its_first_line(client: TestClient, encoding: str) -> None:
    mib = bytes(2**20)
    packed = gzip.compress(mib) if encoding == "gzip" else zstandard.compress(mib)
    headers = {"content-type": "application/x-ndjson", "content-encoding": encoding}
    began = time.monotonic()
    answers = [client.post("/v1/jobs", content=packed * 1000, headers=headers) for _ in range(5)]
    assert {each.status_code for each in answers} == {413}
    assert time.monotonic() - began < 5 * PATIENCE_SECONDS


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_blank_lines_that_unpack_to_a_gibibyte_are_too_large(client: TestClient, encoding: str) -> None:
    lines = (b" " * (2**20 - 1) + b"\n") * 16
    packed = gzip.compress(lines) if encoding == "gzip" else zstandard.compress(lines)
    headers = {"content-type": "application/x-ndjson", "content-encoding": encoding}
    answer = client.post("/v1/jobs", content=packed * 60, headers=headers)
    assert answer.status_code == 413
    assert "bytes of blank lines" in answer.json()["detail"]


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_compressed_parquet_file_is_read(client: TestClient, encoding: str) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"text": [f"text {number}" for number in range(20_000)]}), file)
    packed = gzip.compress(file.getvalue()) if encoding == "gzip" else zstandard.compress(file.getvalue())
    headers = {"content-type": "application/vnd.apache.parquet", "lengthwise-job": json.dumps(JOB)}
    made = client.post("/v1/jobs", content=packed, headers=headers | {"content-encoding": encoding})
    assert made.status_code == 202, made.text
    assert made.json()["counts"]["total"] == 20_000


def test_bodies_that_are_being_received_share_the_disk(servers: real.Urls, tmp_path: Path) -> None:
    lines = (json.dumps(JOB) + "\n" + '"a"\n' * 1000).encode()
    headers = {"content-type": "application/x-ndjson"}

    with serving(servers, tmp_path, max_spooled_bytes=2**20, max_body_bytes=2**17, max_file_bytes=2**10) as client:
        spools: Spools = client.app.state.shared.spools  # type: ignore[attr-defined]
        limits = (spools._total, spools._of_tenant)
        assert limits == (2**20, 2**19)
        with spools._counted(uuid4()) as add:
            add(2**19)
            with pytest.raises(TooBusy):
                add(1)
            with spools._counted(uuid4()) as add_other:
                add_other(2**19)
                refused = client.post("/v1/jobs", content=lines, headers=headers)
                assert refused.status_code == 429
                assert int(refused.headers["retry-after"]) > 0
        assert client.post("/v1/jobs", content=lines, headers=headers).status_code == 202
        assert not spools._held
