"""Files through the unmodified SDK, and the forms that other SDKs send."""

import json
from pathlib import Path

import httpx
import pytest
from openai import BadRequestError, ConflictError, NotFoundError, OpenAI

from tests.ledger import sql, tables
from tests.openai.calls import chat_line, created, jsonl, run, uploaded
from tests.openai.conftest import RunWorker
from tests.workers import sweep

pytestmark = pytest.mark.usefixtures("each_store")

LINES = jsonl([chat_line(f"line-{number}", "text") for number in range(3)])


def test_a_file_comes_back_unchanged(sdk: OpenAI) -> None:
    content = LINES * 20_000  # several chunks
    file = uploaded(sdk, content, "lines.jsonl")
    assert (file.bytes, file.filename, file.purpose, file.status) == (len(content), "lines.jsonl", "batch", "processed")
    assert sdk.files.content(file.id).read() == content
    assert sdk.files.retrieve(file.id) == file
    assert sdk.files.wait_for_processing(file.id, poll_interval=0.01, max_wait_seconds=5) == file


def test_the_parts_of_a_form_may_come_in_either_order(url: str, api_key: str) -> None:
    """The Python SDK sends the purpose first, the JavaScript SDK the file."""
    boundary = "x" * 30
    file = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\nabc\r\n\n\r\n'
    purpose = f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    headers = {"content-type": f"multipart/form-data; boundary={boundary}", "authorization": f"Bearer {api_key}"}
    for parts in (file + purpose, purpose + file):
        body = f"{parts}--{boundary}--\r\n".encode()
        taken = httpx.post(f"{url}/v1/files", content=body, headers=headers)
        assert taken.status_code == 200, taken.text
        assert taken.json()["bytes"] == len("abc\r\n\n")
    for damaged in (body[:-9], body.replace(b"batch", b"chess"), body[:40], b"", purpose.encode() + body[-36:]):
        before = sql("SELECT count(*) FROM file_chunks")
        refused = httpx.post(f"{url}/v1/files", content=damaged, headers=headers)
        assert refused.status_code == 400, damaged
        assert refused.json()["error"]["type"] == "invalid_request_error"
        assert sql("SELECT count(*) FROM file_chunks") == before


def test_a_file_expires_when_its_caller_wanted(sdk: OpenAI) -> None:
    later = {"anchor": "created_at", "seconds": 7200}
    file = sdk.files.create(file=("a", LINES), purpose="batch", expires_after=later)  # type: ignore[arg-type]
    assert file.expires_at == file.created_at + 7200
    sql("UPDATE files SET expires_at = now()")
    with pytest.raises(NotFoundError):
        sdk.files.retrieve(file.id)
    assert list(sdk.files.list()) == []
    sweep()
    assert sql("SELECT count(*) FROM files UNION ALL SELECT count(*) FROM file_chunks") == [(0,), (0,)]


def test_deleting_a_file_keeps_its_batch(sdk: OpenAI, run_worker: RunWorker) -> None:
    batch = run(sdk, LINES, run_worker)
    deleted = sdk.files.delete(batch.input_file_id)
    assert (deleted.id, deleted.deleted, deleted.object) == (batch.input_file_id, True, "file")
    for call in (sdk.files.retrieve, sdk.files.content, sdk.files.delete):
        with pytest.raises(NotFoundError):
            call(batch.input_file_id)
    with pytest.raises(BadRequestError):
        created_of = {"endpoint": "/v1/chat/completions", "completion_window": "24h"}
        sdk.batches.create(input_file_id=batch.input_file_id, **created_of)  # type: ignore[arg-type]
    sweep()
    assert sql("SELECT count(*) FROM file_chunks") == [(0,)]
    assert sdk.files.content(str(batch.output_file_id)).read().count(b"\n") == 3


def test_deleting_a_batchs_output_deletes_its_results(sdk: OpenAI, run_worker: RunWorker) -> None:
    batch = run(sdk, LINES, run_worker)
    output = str(batch.output_file_id)
    assert sdk.files.delete(output).deleted
    with pytest.raises(NotFoundError):
        sdk.files.content(output)
    _, results = tables(batch.id.removeprefix("batch_"))
    assert sql(f"SELECT count(*) FROM {results}") == [(0,)]  # noqa: S608 - our own names
    assert sdk.batches.retrieve(batch.id).request_counts == batch.request_counts


def test_the_output_of_a_running_batch_cannot_be_deleted(sdk: OpenAI, run_worker: RunWorker) -> None:
    batch = run(sdk, LINES, run_worker)
    sql("UPDATE jobs SET state = 'open', finished_at = NULL")
    with pytest.raises(ConflictError):
        sdk.files.delete(str(batch.output_file_id))


def test_lists_hold_uploads_and_outputs_on_all_pages(sdk: OpenAI, run_worker: RunWorker) -> None:
    batches = [run(sdk, LINES, run_worker) for _ in range(2)]
    ended = created(sdk, LINES)
    inputs = [*(batch.input_file_id for batch in batches), ended.input_file_id]
    outputs = [str(batch.output_file_id) for batch in batches]
    assert [file.id for file in sdk.files.list(purpose="batch", limit=1)] == inputs[::-1]
    assert [file.id for file in sdk.files.list(purpose="batch_output", limit=1)] == outputs[::-1]
    every = [file.id for file in sdk.files.list(limit=2)]
    assert sorted(every) == sorted(inputs + outputs)
    assert [file.id for file in sdk.files.list(limit=2, order="asc")] == every[::-1]
    listed = {file.id: file for file in sdk.files.list()}
    assert all(listed[name] == sdk.files.retrieve(name) for name in every)


def test_content_is_served_to_clients_that_accept_binary(sdk: OpenAI, tmp_path: Path) -> None:
    file = uploaded(sdk, LINES)
    with sdk.files.with_streaming_response.content(file.id) as answer:
        answer.stream_to_file(tmp_path / "out.jsonl")
    written = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["custom_id"] for line in written] == ["line-0", "line-1", "line-2"]
