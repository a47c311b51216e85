"""Marks at the start of bodies are skipped, and a body that is not UTF-8 is refused by the name of what it is."""

import gzip
import io
import json
import zipfile
from typing import Any

import pytest
import zstandard
from starlette.testclient import TestClient

from tests.integration.conftest import RunWorker
from tests.integration.refusal import RefusalProbe, refusals

__all__ = ["refusals"]

NDJSON = "application/x-ndjson"
MARK = b"\xef\xbb\xbf"
HEAD = b'{"kind": "generate"}'
ITEMS = b'{"text": "I ate an apple."}\n"abc"\n'
BODIES = {
    "json": (MARK + b'{"kind": "generate", "items": ["I ate an apple.", "abc"]}', "application/json", None),
    "lines": (MARK + HEAD + b"\n" + ITEMS, NDJSON, None),
    "lines of Windows": (MARK + (HEAD + b"\n" + ITEMS).replace(b"\n", b"\r\n"), NDJSON, None),
    "lines after a head": (MARK + ITEMS, NDJSON, HEAD),
    "items in a file of their own": (HEAD + b"\n" + MARK + ITEMS, NDJSON, None),
    "two files joined": (MARK + HEAD + b"\n" + MARK + ITEMS[:28] + MARK + ITEMS[28:], NDJSON, None),
    "a mark on a line alone": (MARK + b"\n" + HEAD + b"\n" + ITEMS, NDJSON, None),
    "a mark at the end": (HEAD + b"\n" + ITEMS + MARK, NDJSON, None),
}


@pytest.mark.parametrize(("content", "form", "head"), BODIES.values(), ids=BODIES.keys())
def test_a_mark_is_skipped(
    client: TestClient, run_worker: RunWorker, content: bytes, form: str, head: bytes | None
) -> None:
    headers = {"content-type": form} | ({} if head is None else {"lengthwise-job": head.decode()})
    answer = client.post("/v1/jobs", content=content, headers=headers)
    assert answer.status_code == 202, answer.text
    run_worker()
    lines = client.get(answer.json()["links"]["results"]).text.splitlines()
    assert [json.loads(line)["output"]["text"] for line in lines] == [".elppa na eta I", "cba"]


def test_a_mark_within_a_string_is_part_of_it(client: TestClient, run_worker: RunWorker) -> None:
    lines = HEAD + '\n{"id": "\ufeffa\ufeff", "text": "b", "metadata": {"\ufeff": "\ufeff"}}'.encode()
    job = client.post("/v1/jobs", content=lines, headers={"content-type": NDJSON}).json()
    run_worker()
    found = client.get(job["links"]["results"]).json()
    assert (found["id"], found["metadata"]) == ("\ufeffa\ufeff", {"\ufeff": "\ufeff"})


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("xl/workbook.xml", content)
    return file.getvalue()


WHOLE = '{"kind": "generate", "items": ["CaNaRy", "déjà vu"]}'
LINES = '{"kind": "generate"}\r\n"CaNaRy"\r\n"déjà vu"\r\n'
NAMES = [
    *[(name, "this is UTF-16: send UTF-8") for name in ("utf-16", "utf-16-le", "utf-16-be")],
    *[(name, "this is UTF-32: send UTF-8") for name in ("utf-32", "utf-32-le", "utf-32-be")],
    ("latin-1", "this is Windows-1252 or Latin-1: send UTF-8"),
    ("cp1252", "this is Windows-1252 or Latin-1: send UTF-8"),
]
PACKED = [
    (gzip.compress, "this is gzip: send it unpacked, or with the header content-encoding: gzip"),
    (zstandard.compress, "this is zstd: send it unpacked, or with the header content-encoding: zstd"),
    (zipped, "this is a ZIP archive or an Excel workbook: send UTF-8"),
]


@pytest.mark.parametrize(("form", "text"), [("application/json", WHOLE), (NDJSON, LINES)])
@pytest.mark.parametrize(("encoding", "said"), NAMES)
def test_another_encoding_is_named(refusals: RefusalProbe, form: str, text: str, encoding: str, said: str) -> None:
    assert said in refused(refusals, text.encode(encoding), form)["detail"]


@pytest.mark.parametrize(("form", "text"), [("application/json", WHOLE), (NDJSON, LINES)])
@pytest.mark.parametrize(("pack", "said"), PACKED, ids=["gzip", "zstd", "xlsx"])
def test_compression_that_was_not_announced_is_named(
    refusals: RefusalProbe, form: str, text: str, pack: Any, said: str
) -> None:
    assert said in refused(refusals, pack(text.encode()), form)["detail"]


@pytest.mark.parametrize(("encoding", "said"), NAMES)
def test_items_after_a_head_in_a_header_have_their_encoding_named(
    refusals: RefusalProbe, encoding: str, said: str
) -> None:
    content = '"CaNaRy à déjà vu"\r\n"b"\r\n'.encode(encoding)
    problem = refused(refusals, content, NDJSON, **{"lengthwise-job": HEAD.decode()})
    assert said in problem["detail"]
    assert (problem["field"], problem["index"]) == ("items[0]", 0)


def test_the_line_with_the_first_wrong_byte_is_named(refusals: RefusalProbe) -> None:
    content = b"\n".join([HEAD, *[b'"CaNaRy"'] * 70, '"CaNaRy café"'.encode("latin-1")])
    problem = refused(refusals, content, NDJSON)
    assert (problem["field"], problem["index"]) == ("items[70]", 70)
    assert "this is Windows-1252 or Latin-1" in problem["detail"]


@pytest.mark.parametrize("path", ["/v1/webhook-endpoints", "/v1/keys"])
def test_small_bodies_are_read_in_the_same_way(refusals: RefusalProbe, path: str) -> None:
    problem = refusals.of(
        "POST", path, content='{"CaNaRy": 1}'.encode("utf-16"), headers={"content-type": "application/json"}
    )
    assert "this is UTF-16: send UTF-8" in problem["detail"]
    marked = refusals.of("POST", path, content=MARK + b'{"CaNaRy": 1}', headers={"content-type": "application/json"})
    assert "unknown field" in marked["detail"]


def refused(refusals: RefusalProbe, content: bytes, form: str, **headers: str) -> dict[str, Any]:
    return refusals.of("POST", "/v1/jobs", content=content, headers={"content-type": form} | headers)
