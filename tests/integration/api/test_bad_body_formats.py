"""Bodies whose compression or table is malformed: a 4xx that writes no row and repeats nothing."""

import gzip
import io
import sys
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.integration.refusal import CANARY, RefusalProbe, refusals

__all__ = ["refusals"]

JOB = b'{"kind": "generate", "items": ["CaNaRy"]}'
HEADED = '{"kind": "generate"}'
PARQUET = "application/vnd.apache.parquet"


def parquet(**columns: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_decompression_bomb_is_a_413(refusals: RefusalProbe, encoding: str) -> None:
    bomb = (gzip.compress if encoding == "gzip" else zstandard.compress)(CANARY.encode() + bytes(2**26))
    headers = {"content-type": "application/x-ndjson", "content-encoding": encoding}
    problem = refusals.of("POST", "/v1/jobs", content=bomb[:39_000], headers=headers)
    assert (problem["status"], problem["field"]) == (413, "body")


@pytest.mark.parametrize(
    "content",
    [gzip.compress(JOB)[:-9], JOB, b"", gzip.compress(JOB) + b"CaNaRy"],
    ids=["cut off", "not compressed", "empty", "with a tail"],
)
def test_a_broken_stream_is_a_400(refusals: RefusalProbe, content: bytes) -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    problem = refusals.of("POST", "/v1/jobs", content=content, headers=headers)
    assert (problem["status"], problem["field"]) == (400, "body")


BAD = {
    "no head": ("text/csv", None, b"text\na\n", 422, "lengthwise-job", None),
    "a head that is cut": ("text/csv", '{"kind": "CaNaRy', b"text\na\n", 422, "lengthwise-job", None),
    "a head that is a list": ("text/csv", "[]", b"text\na\n", 422, "lengthwise-job", None),
    "a head with items": ("text/csv", '{"kind":"generate","items":[]}', b"text\na\n", 422, "items", None),
    "an unknown field": ("text/csv", '{"kind":"generate","CaNaRy":1}', b"text\na\n", 422, "job", None),
    "no name of a column": ("text/csv", '{"kind":"generate","text_column":7}', b"text\na\n", 422, "text_column", None),
    "a head twice": ("application/json", HEADED, JOB, 422, "lengthwise-job", None),
    "columns of NDJSON": ("application/x-ndjson", '{"kind":"generate","text_column":"a"}', b'"a"', 422, "job", None),
    "rows that are none": ("text/csv", HEADED, b"text\r\n", 422, "items", None),
    "nothing": ("text/csv", HEADED, b"", 400, "body", None),
    "NUL": ("text/csv", HEADED, b"text\r\nCaNaRy\x00\r\n", 422, "items[0].text", 0),
    "a field that is huge": ("text/csv", HEADED, b'text\r\n"' + b"x" * 6_000 + b'"', 413, "row 2", None),
    "an id twice": ("text/csv", HEADED, b"id,text\r\nCaNaRy,a\r\nCaNaRy,b\r\n", 422, "items[1].id", 1),
    "no Parquet": (PARQUET, HEADED, b"PAR1CaNaRyPAR1", 400, "body", None),
    "no text": (PARQUET, HEADED, parquet(a=[None]), 422, "text_column", None),
    "numbers for texts": (PARQUET, HEADED, parquet(text=[1]), 422, "text_column", None),
    "bytes for texts": (PARQUET, HEADED, parquet(text=[b"a", b"CaNaRy\xff"]), 422, "row 2", None),
}  # fmt: skip


@pytest.mark.parametrize(("form", "head", "content", "status", "field", "index"), BAD.values(), ids=BAD.keys())
def test_a_bad_table_refuses_the_job(
    refusals: RefusalProbe, form: str, head: str | None, content: bytes, status: int, field: str, index: int | None
) -> None:
    headers = {"content-type": form} | ({} if head is None else {"lengthwise-job": head})
    problem = refusals.of("POST", "/v1/jobs", content=content, headers=headers)
    assert (problem["status"], problem.get("field"), problem.get("index")) == (status, field, index)


def test_the_error_for_missing_parquet_support_names_the_extra(
    refusals: RefusalProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    headers = {"content-type": PARQUET, "lengthwise-job": HEADED}
    problem = refusals.of("POST", "/v1/jobs", content=b"PAR1", headers=headers)
    assert (problem["status"], "lengthwise[parquet]" in problem["detail"]) == (415, True)
    path = "/v1/jobs/00000000-0000-0000-0000-000000000000/results"
    problem = refusals.of("GET", path, params={"format": "parquet"})
    assert (problem["status"], problem["field"]) == (422, "format")
