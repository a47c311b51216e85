"""Results in the format and the encoding that the caller asks for."""

import csv
import io
import json
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from tests.caller import bearer
from tests.integration.api.test_body_formats import PARQUET, results
from tests.integration.conftest import RunWorker, read_job, submit
from tests.integration.jobs.test_results import TEXTS, small_chunks, work_a_little
from tests.integration.wire import over_http

__all__ = ["small_chunks"]


@pytest.mark.usefixtures("small_chunks")
class TestResultForms:
    @pytest.fixture(autouse=True)
    def small_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("api.jobs.download._PAGE", 70)

    @pytest.mark.parametrize(
        ("accept", "encoding"),
        [("gzip", "gzip"), ("zstd, gzip", "zstd"), ("gzip, zstd;q=0.5", "gzip"), ("*", "zstd"), ("br, x-gzip", "gzip"),
         ("identity", None), ("gzip;q=0, br", None), ("gzip;q=x", None), ("", None)],
    )  # fmt: skip
    def test_results_have_the_encoding_that_is_accepted(
        self, client: TestClient, run_worker: RunWorker, accept: str, encoding: str | None
    ) -> None:
        job = submit(client, TEXTS)
        run_worker()
        with over_http(client.app) as url:
            answer = httpx.get(url + job["links"]["results"], headers={"accept-encoding": accept} | bearer())
        assert answer.headers.get("content-encoding") == encoding
        assert answer.headers["vary"] == "accept, accept-encoding"
        assert [json.loads(line)["output"]["text"] for line in answer.text.splitlines()] == [t[::-1] for t in TEXTS]

    @pytest.mark.parametrize("encoding", ["gzip", "zstd"])
    def test_each_page_can_be_decompressed_as_soon_as_it_arrives(
        self, client: TestClient, run_worker: RunWorker, encoding: str
    ) -> None:
        job = submit(client, TEXTS)
        run_worker()
        with (
            over_http(client.app) as url,
            httpx.stream(
                "GET", url + job["links"]["results"], headers={"accept-encoding": encoding} | bearer()
            ) as answer,
        ):
            parts = [part for part in answer.iter_bytes() if part]
        assert all(part.endswith(b"}\n") for part in parts)
        assert len(parts) > 3

    @pytest.mark.parametrize("ask", [{"params": {"format": "csv"}}, {"headers": {"accept": "text/csv"}}])
    def test_csv_has_one_row_for_each_result(
        self, client: TestClient, run_worker: RunWorker, ask: dict[str, Any]
    ) -> None:
        texts = ["x" * 600, *TEXTS]
        job = submit(client, [{"id": f"n{at}", "text": text, "metadata": {"at": at}} for at, text in enumerate(texts)])
        run_worker()
        answer = results(client, job, **ask)
        assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
        rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
        assert [(row["index"], row["id"], row["metadata.at"]) for row in rows] == [
            (str(at), f"n{at}", str(at)) for at in range(len(texts))
        ]
        assert (rows[0]["error.code"], rows[0]["output.text"]) == ("too_long", "")
        assert [row["output.text"] for row in rows[1:]] == [text[::-1] for text in TEXTS]
        assert len(list(csv.reader(results(client, job, params={"format": "csv", "after": 200}).iter_lines()))) == 101

    def test_parquet_has_typed_columns(self, client: TestClient, run_worker: RunWorker) -> None:
        job = submit(client, TEXTS)
        run_worker()
        answer = results(client, job, headers={"accept": f"{PARQUET}, */*;q=0.1", "accept-encoding": "gzip"})
        assert answer.headers["content-type"] == PARQUET
        assert "content-encoding" not in answer.headers
        table = pq.read_table(io.BytesIO(answer.content))
        assert table["index"].to_pylist() == list(range(len(TEXTS)))
        assert table["output.text"].to_pylist() == [text[::-1] for text in TEXTS]
        assert table.schema.field("usage.input_tokens").type == pa.int64()

    @pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html", "text/csv;q=0.1, */*", "nonsense;;q"])
    def test_any_other_accept_header_means_ndjson(self, client: TestClient, accept: str) -> None:
        job = submit(client, ["abc"])
        assert results(client, job, headers={"accept": accept}).headers["content-type"] == "application/x-ndjson"
        assert client.get(job["links"]["results"], params={"format": "xml"}).status_code == 422

    def test_a_running_job_gives_a_table_of_the_results_so_far(self, client: TestClient) -> None:
        job = submit(client, TEXTS)
        for form in ("csv", "parquet"):
            assert n_rows(results(client, job, params={"format": form}), form) == 0
        work_a_little(client, job["id"])
        n_done = read_job(client, job["id"])["counts"]["succeeded"]
        assert 0 < n_done < len(TEXTS)
        client.post(job["links"]["cancel"])
        for form in ("csv", "parquet"):
            assert n_rows(results(client, job, params={"format": form}), form) == len(TEXTS)


def n_rows(answer: Any, form: str) -> int:
    if form == "parquet":
        rows: int = pq.read_table(io.BytesIO(answer.content)).num_rows
        return rows
    return len(list(csv.DictReader(io.StringIO(answer.text, newline=""))))
