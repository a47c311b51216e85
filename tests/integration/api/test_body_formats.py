"""Compressed bodies and tables become jobs like any other body."""

import gzip
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from starlette.testclient import TestClient

from tests.integration.conftest import RunWorker
from tests.integration.refusal import CANARY

JOB = json.dumps({"kind": "generate", "items": ["abc", "de"]}).encode()
HEAD = {"kind": "generate"}
PARQUET = "application/vnd.apache.parquet"


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def post(client: TestClient, content: bytes, form: str, head: Any = None, **headers: str) -> dict[str, Any]:
    given = {"content-type": form} | headers | ({} if head is None else {"lengthwise-job": json.dumps(head)})
    answer = client.post("/v1/jobs", content=content, headers=given)
    assert answer.status_code == 202, answer.text
    taken: dict[str, Any] = answer.json()
    return taken


def results(client: TestClient, job: dict[str, Any], **options: Any) -> Any:
    answer = client.get(job["links"]["results"], **options)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("gzip", gzip.compress(JOB)),
        ("X-GZIP", gzip.compress(JOB[:10]) + gzip.compress(JOB[10:])),
        ("zstd", zstandard.compress(JOB)),
        ("identity", JOB),
    ],
    ids=["gzip", "two members of gzip", "zstd", "identity"],
)
def test_a_compressed_body_makes_the_same_job(client: TestClient, encoding: str, content: bytes) -> None:
    headers = {"content-encoding": encoding, "idempotency-key": "a"}
    job = post(client, content, "application/json", **headers)
    assert job["counts"]["total"] == 2
    assert post(client, JOB, "application/json", **{"idempotency-key": "a"})["id"] == job["id"]


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "gzip, identity", CANARY, "x-"])
def test_an_unsupported_encoding_is_a_415_that_names_the_supported_ones(client: TestClient, encoding: str) -> None:
    headers = {"content-type": "application/json", "content-encoding": encoding}
    answer = client.post("/v1/jobs", content=JOB, headers=headers)
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "gzip, zstd")


def test_a_table_becomes_items_with_ids_and_metadata(client: TestClient, run_worker: RunWorker) -> None:
    columns = {"text_column": "title", "id_column": "sku", "metadata_columns": ["price"]}
    of_csv = post(client, b'sku,title,price\r\na,"b, c",1\r\n', "text/csv; charset=utf-8", HEAD | columns)
    table = parquet(price=[1], sku=["a"], title=["b, c"])
    of_parquet = post(client, table, PARQUET, HEAD | columns)
    run_worker()
    for job, price in ((of_csv, "1"), (of_parquet, 1)):
        (line,) = map(json.loads, results(client, job).text.splitlines())
        assert (line["id"], line["output"]["text"], line["metadata"]) == ("a", "c ,b", {"price": price})


def test_the_job_in_an_http_header_is_utf8_as_curl_sends_it(client: TestClient) -> None:
    head = json.dumps({"kind": "generate", "text_column": "商品"}, ensure_ascii=False).encode()
    headers = {b"content-type": b"text/csv", b"lengthwise-job": head}
    assert client.post("/v1/jobs", content="商品\nabc\n".encode(), headers=headers).status_code == 202
    assert post(client, b'"abc"\n"de"\n', "application/x-ndjson", HEAD)["counts"]["total"] == 2


def test_the_job_in_an_http_header_is_part_of_the_request_hash(client: TestClient) -> None:
    headers = {"idempotency-key": "a"}
    job = post(client, b"text,b\nabc,d\n", "text/csv", HEAD, **headers)
    assert post(client, b"text,b\nabc,d\n", "text/csv", HEAD, **headers)["id"] == job["id"]
    other = {"content-type": "text/csv", "lengthwise-job": '{"kind":"generate","text_column":"b"}'} | headers
    assert client.post("/v1/jobs", content=b"text,b\nabc,d\n", headers=other).status_code == 422
