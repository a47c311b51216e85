"""Makes batches with the SDK as a caller does, and checks every answer."""

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from openai import OpenAI
from openai.types import Batch, FileObject

Line = dict[str, Any]
ENDED = ("completed", "failed", "expired", "cancelled")


def chat_line(custom_id: str, text: str, model: str = "echo", **body: Any) -> Line:
    messages = [{"role": "user", "content": text}]
    url = "/v1/chat/completions"
    return {
        "custom_id": custom_id,
        "method": "POST",
        "url": url,
        "body": {"model": model, "messages": messages, **body},
    }


def jsonl(lines: Sequence[Line]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def uploaded(sdk: OpenAI, content: bytes, name: str = "requests.jsonl") -> FileObject:
    return checked_file(sdk.files.create(file=(name, content), purpose="batch"))


def created(sdk: OpenAI, content: bytes, endpoint: Any = "/v1/chat/completions", **more: Any) -> Batch:
    file = uploaded(sdk, content)
    given = {"completion_window": "24h", **more}
    return checked(sdk.batches.create(input_file_id=file.id, endpoint=endpoint, **given))


def validated(sdk: OpenAI, batch: Batch) -> Batch:
    """The batch once its file was read."""
    for _ in range(600):
        batch = checked(sdk.batches.retrieve(batch.id))
        if batch.status != "validating":
            return batch
        time.sleep(0.05)
    raise AssertionError("the batch stays in validation")


def run(sdk: OpenAI, content: bytes, run_worker: Callable[[], None], **more: Any) -> Batch:
    """Creates a batch and runs it to its end."""
    batch = validated(sdk, created(sdk, content, **more))
    run_worker()
    return checked(sdk.batches.retrieve(batch.id))


def rows(sdk: OpenAI, file_id: str | None) -> list[Line]:
    """The lines of a batch's file; none if there is no id."""
    if file_id is None:
        return []
    content = sdk.files.content(file_id).read()
    file = checked_file(sdk.files.retrieve(file_id))
    assert file.bytes == len(content)
    assert file.purpose == "batch_output"
    return [json.loads(line) for line in content.splitlines()]


def conserved(sdk: OpenAI, batch: Batch, custom_ids: Sequence[str]) -> tuple[dict[str, Line], dict[str, Line]]:
    """An ended batch's outputs and errors by custom_id. Checks that each line occurs once and the counts match."""
    assert batch.status in ENDED
    output, errors = rows(sdk, batch.output_file_id), rows(sdk, batch.error_file_id)
    assert sorted(row["custom_id"] for row in output + errors) == sorted(custom_ids)
    counts = batch.request_counts
    assert counts is not None
    assert (counts.total, counts.completed, counts.failed) == (len(custom_ids), len(output), len(errors))
    for row in output:
        assert (row["response"]["status_code"], row["error"]) == (200, None)
    for row in errors:
        assert (row["response"] is None) is (row["error"] is not None)
        assert row["response"] is None or row["response"]["body"]["error"]["message"]
    assert len({row["id"] for row in output + errors}) == len(custom_ids)
    usage = batch.usage
    assert usage is not None
    summed = [sum(row["response"]["body"]["usage"].get(name, 0) for row in output) for name in _USED]
    assert [usage.input_tokens, usage.output_tokens, usage.total_tokens] == summed
    return {row["custom_id"]: row for row in output}, {row["custom_id"]: row for row in errors}


_USED = ("prompt_tokens", "completion_tokens", "total_tokens")


def checked(batch: Batch) -> Batch:
    """Validates an answer by the SDK's own types, which the SDK itself does not do."""
    Batch.model_validate_json(batch.model_dump_json(), strict=True)
    assert batch.output_file_id != ""
    assert batch.error_file_id != ""
    return batch


def checked_file(file: FileObject) -> FileObject:
    FileObject.model_validate_json(file.model_dump_json(), strict=True)
    assert file.status == "processed"
    return file
