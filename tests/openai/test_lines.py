"""Lines through the unmodified SDK: answers that it does not cut, files with a mark, and files that are not UTF-8."""

import gzip
import json
from pathlib import Path

import pytest
from openai import BadRequestError, OpenAI

from examples import openai_batch
from tests.ledger import sql, tables
from tests.openai.calls import chat_line, conserved, created, jsonl, rows, run, uploaded, validated
from tests.openai.conftest import RunWorker

pytestmark = pytest.mark.usefixtures("each_store")

MARK = b"\xef\xbb\xbf"
SEPARATORS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
GOOD = jsonl([chat_line("a", "I ate an apple.")])


def streamed(sdk: OpenAI, file_id: str | None) -> list[str]:
    """The lines as the SDK cuts them."""
    with sdk.files.with_streaming_response.content(str(file_id)) as answer:
        return list(answer.iter_lines())


def test_the_sdk_reads_a_line_for_each_request_wherever_a_separator_stands(sdk: OpenAI, run_worker: RunWorker) -> None:
    names = ["plain", *[f"{place}{separator}z" for place in "xy" for separator in SEPARATORS]]
    content = b"".join(json.dumps(chat_line(name, "a lamp"), ensure_ascii=False).encode() + b"\n" for name in names)
    batch = run(sdk, content, run_worker)
    assert [json.loads(line)["custom_id"] for line in streamed(sdk, batch.output_file_id)] == names
    assert [line["custom_id"] for line in openai_batch.lines(sdk, batch.output_file_id)] == names
    conserved(sdk, batch, names)


def test_the_example_reads_comments_with_a_mark(tmp_path: Path) -> None:
    comments = tmp_path / "comments.ndjson"
    comments.write_bytes(MARK + '{"id": "a\u2028b", "text": "c\u0085d"}\n'.encode())
    with (tmp_path / "requests.jsonl").open("w+b") as file:
        openai_batch.write_requests(comments, "demo-moderate", file)
        [request] = [json.loads(line) for line in file.read().decode().splitlines()]
    assert (request["custom_id"], request["body"]["input"]) == ("a\u2028b", "c\u0085d")


def test_the_error_file_has_a_line_for_each_request(sdk: OpenAI) -> None:
    names = [f"a{separator}b" for separator in SEPARATORS]
    content = jsonl([chat_line(name, "x") for name in names])
    batch = validated(sdk, created(sdk, content))
    sdk.batches.cancel(batch.id)
    ended = sdk.batches.retrieve(batch.id)
    assert [json.loads(line)["custom_id"] for line in streamed(sdk, ended.error_file_id)] == names
    conserved(sdk, ended, names)


def test_lines_that_older_workers_wrote_are_escaped_too(sdk: OpenAI, run_worker: RunWorker) -> None:
    batch = run(sdk, GOOD, run_worker)
    _, results = tables(batch.id.removeprefix("batch_"))
    sql(f"UPDATE {results} SET result = replace(convert_from(result, 'UTF8'), 'apple', e'ap\\u2028ple')::bytea")  # noqa: S608 - our own names
    [line] = streamed(sdk, batch.output_file_id)
    assert json.loads(line)["custom_id"] == "a"


@pytest.mark.parametrize(
    "content",
    [
        MARK + GOOD,
        MARK + GOOD.replace(b"\n", b"\r\n"),
        MARK + b"\n" + GOOD,
        MARK + GOOD + MARK,
        GOOD.replace(b'"a"', b'"b"') + MARK + GOOD,
    ],
    ids=["one line", "windows", "on a line of its own", "at the end", "two files joined"],
)
def test_a_file_may_have_a_mark(sdk: OpenAI, run_worker: RunWorker, content: bytes) -> None:
    batch = run(sdk, content, run_worker)
    assert batch.status == "completed"
    assert "a" in [row["custom_id"] for row in rows(sdk, batch.output_file_id)]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        *[(GOOD.decode().encode(name), "UTF-16") for name in ("utf-16", "utf-16-le", "utf-16-be")],
        *[(GOOD.decode().encode(name), "UTF-32") for name in ("utf-32", "utf-32-le", "utf-32-be")],
        (gzip.compress(GOOD), "gzip"),
        (b"PK\x03\x04" + bytes(30), "a ZIP archive or an Excel workbook"),
        (gzip.compress(bytes(range(256)) * 2**14, 0), "gzip"),
    ],
)
def test_an_upload_whose_lines_nobody_could_read_is_refused(sdk: OpenAI, content: bytes, name: str) -> None:
    with pytest.raises(BadRequestError, match=f"this is {name}: upload lines of JSON in UTF-8") as raised:
        uploaded(sdk, content)
    assert raised.value.param == "file"
    assert sql("SELECT count(*) FROM files UNION ALL SELECT count(*) FROM file_chunks") == [(0,), (0,)]


def test_lines_in_another_encoding_are_named_by_their_numbers(sdk: OpenAI) -> None:
    lines = [chat_line("a", "plain"), chat_line("b", "café"), chat_line("c", "plain"), chat_line("d", "яблоко")]
    content = b"".join(
        json.dumps(line, ensure_ascii=False).encode("latin-1" if number < 3 else "cp1251") + b"\n"
        for number, line in enumerate(lines)
    )
    batch = validated(sdk, created(sdk, content))
    assert batch.status == "failed"
    assert batch.errors and batch.errors.data
    assert [(error.line, error.code, error.message) for error in batch.errors.data] == [
        (2, "invalid_json_line", "this is Windows-1252 or Latin-1: send UTF-8"),
        (4, "invalid_json_line", "this is in another encoding than UTF-8: send UTF-8"),
    ]
