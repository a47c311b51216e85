"""Bodies that are malformed, too large or unreadable: a 4xx that writes no row and repeats nothing."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.integration.refusal import CANARY, RefusalProbe, refusals, rows

__all__ = ["refusals"]

NDJSON = "application/x-ndjson"
JOB = {"kind": "generate", "items": [CANARY]}
WHOLE = json.dumps(JOB).encode()


def with_text(text: str) -> bytes:
    return f'{{"kind": "generate", "items": ["{CANARY}{text}"]}}'.encode("utf-8", "surrogatepass")


def with_metadata(json_text: str) -> bytes:
    return f'{{"kind": "generate", "items": [{{"text": "{CANARY}", "metadata": {{"a": {json_text}}}}}]}}'.encode()


NOT_JSON = {
    "empty": b"",
    "blank": b" \n\t",
    "truncated": WHOLE[:-3],
    "utf-16": WHOLE.decode().encode("utf-16"),
    "utf-16 without a mark": WHOLE.decode().encode("utf-16-le"),
    "two byte order marks": b"\xef\xbb\xbf" * 2 + WHOLE,
    "latin-1": WHOLE.replace(b"C", b"\xe9"),
    "gzip": gzip.compress(WHOLE),
    "invalid utf-8": WHOLE.replace(b"C", b"C\xff"),
    "overlong utf-8": WHOLE.replace(b"C", b"\xc0\xaf"),
    "surrogate in utf-8": with_text("\ud800"),
    "lone surrogate": with_text(r"\ud800"),
    "surrogates the wrong way round": with_text(r"\ude00\ud83d"),
    "surrogate in a name": WHOLE.replace(b'"kind"', rb'"\udfff"'),
    "raw NUL": with_text("\x00"),
    "raw control character": with_text("\x1b"),
    "bad escape": with_text(r"\x41"),
    "NaN": with_metadata("NaN"),
    "Infinity": with_metadata("Infinity"),
    "-Infinity": with_metadata("-Infinity"),
    "deep lists": with_metadata("[" * 10_000 + "]" * 10_000),
    "deep objects": with_metadata('{"a":' * 3_000 + "1" + "}" * 3_000),
    "unclosed and deep": b"[" * 19_000,
    "a number of 5,000 digits": with_metadata("9" * 5_000),
    "trailing text": WHOLE + CANARY.encode(),
    "two objects": WHOLE + WHOLE,
    "single quotes": WHOLE.replace(b'"', b"'"),
    "comment": b"/* " + CANARY.encode() + b" */" + WHOLE,
    "trailing comma": WHOLE.replace(b"}", b",}"),
    "a form": f"kind={CANARY}&items={CANARY}".encode(),
    "a list": b"[" + WHOLE + b"]",
    "a string": json.dumps(CANARY).encode(),
    "null": b"null",
    "a number": b"1e999",
    "true": b"true",
}


@pytest.mark.parametrize("content", NOT_JSON.values(), ids=NOT_JSON.keys())
def test_a_body_that_is_not_a_json_object_is_a_400(refusals: RefusalProbe, content: bytes) -> None:
    assert refusals.of_job(content) == (400, "body", None)


def lines(*given: Any) -> bytes:
    return b"\n".join(each if isinstance(each, bytes) else json.dumps(each).encode() for each in given)


HEAD = {"kind": "generate"}
BAD_LINES = {
    "empty": (b"", 400, "body", None),
    "blank": (b"\n \r\n\n", 400, "body", None),
    "a head that is cut": (b'{"kind": "CaNaRy', 400, "body", None),
    "a head that is a list": (lines([HEAD], CANARY), 400, "body", None),
    "a head that is an item": (lines({"text": CANARY}, {"text": CANARY}), 422, "kind", None),
    "a head alone": (lines(HEAD), 422, "items", None),
    "a head with its items": (lines(JOB, CANARY), 422, "items", None),
    "an unknown field": (lines(HEAD | {CANARY: 1}, CANARY), 422, "job", None),
    "an item that is cut": (lines(HEAD, CANARY, b'{"text": "CaNaRy'), 422, "items[1]", 1),
    "an item that is null": (lines(HEAD, CANARY, None), 422, "items[1]", 1),
    "an item that is a list": (lines(HEAD, [CANARY]), 422, "items[0]", 0),
    "a lone surrogate": (lines(HEAD, b'"CaNaRy\\ud800"'), 422, "items[0]", 0),
    "invalid utf-8": (lines(HEAD, CANARY, b'"CaNaRy\xff"'), 422, "items[1]", 1),
    "a job on one line each": (lines(b"{", b'"kind": "generate"', b"}"), 400, "body", None),
    "two items in a line": (lines(HEAD, b'"CaNaRy" "CaNaRy"'), 422, "items[0]", 0),
    "a line too long": (lines(HEAD, "x", {"text": CANARY, "metadata": {"a": "x" * 5_000}}), 413, "line 3", None),
    "a head too long": (b" " * 5_001 + lines(HEAD, CANARY), 413, "line 1", None),
    "too many items": (lines(HEAD, *[CANARY] * 101), 413, "items", None),
    "a late mistake": (lines(HEAD, *[CANARY] * 90, {"text": None}), 422, "items[90].text", 90),
    "an id of another chunk": (
        lines(HEAD, *[{"text": "x", "id": f"{CANARY}{index % 80}"} for index in range(81)]),
        422,
        "items[80].id",
        80,
    ),
}


@pytest.mark.parametrize(("content", "status", "field", "index"), BAD_LINES.values(), ids=BAD_LINES.keys())
def test_a_bad_line_refuses_the_job(
    refusals: RefusalProbe, content: bytes, status: int, field: str | None, index: int | None
) -> None:
    assert refusals.of_job(content, NDJSON) == (status, field, index)


def chunks(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 1000):
        yield content[start : start + 1000]


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize(("form", "limit"), [("application/json", 30_000), (NDJSON, 40_000)])
def test_a_body_over_its_limit_is_a_413(refusals: RefusalProbe, form: str, limit: int, is_streamed: bool) -> None:
    body = lines(HEAD, *[{"text": CANARY, "metadata": {"a": "x" * 90}}] * 500)[: limit + 1]
    content = chunks(body) if is_streamed else body
    problem = refusals.of("POST", "/v1/jobs", content=content, headers={"content-type": form})
    assert (problem["status"], problem["field"]) == (413, "body")


@pytest.mark.parametrize("length", ["30001", "9" * 19])
def test_a_body_is_refused_by_its_content_length(refusals: RefusalProbe, length: str) -> None:
    headers = {"content-type": "application/json", "content-length": length}
    assert refusals.of("POST", "/v1/jobs", content=WHOLE, headers=headers)["status"] == 413


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": f"application/{CANARY}"},
        {"content-type": "multipart/form-data; boundary=x"},
        {"content-type": "application/json", "content-encoding": "gzip, gzip"},
        {"content-type": "application/json", "content-encoding": f"{CANARY}"},
        {"content-type": NDJSON, "content-encoding": f"br, {CANARY}"},
    ],
)
def test_another_content_type_is_a_415(refusals: RefusalProbe, headers: dict[str, str]) -> None:
    content = gzip.compress(WHOLE) if "content-encoding" in headers else WHOLE
    assert refusals.of("POST", "/v1/jobs", content=content, headers=headers)["status"] == 415


@pytest.mark.parametrize("form", ["Application/JSON", "application/json; charset=utf-8", NDJSON])
def test_a_body_exactly_at_the_limits_is_accepted(strict: TestClient, form: str) -> None:
    before = rows(strict)
    if form == NDJSON:
        longest = json.dumps("x" * 2_000).encode() + b" " * (5_000 - 2_002)
        content = lines(HEAD, longest + b"\r", *["x"] * 99) + b"\r\n"
    else:
        content = json.dumps(HEAD | {"items": ["x"] * 100}).encode().ljust(30_000)
    answer = strict.post("/v1/jobs", content=content, headers={"content-type": form})
    assert answer.status_code == 202
    assert rows(strict)["items"] == before["items"] + 100
