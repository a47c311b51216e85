"""Moderates comments with OpenAI's batch API. The script is written for OpenAI; two variables make it use lengthwise:

    export OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=$(cat .lengthwise/admin.key)
    python -m examples.openai_batch examples/moderate.ndjson flagged.csv --model demo-moderate

The comments are NDJSON with ``id`` and ``text``. The result is a CSV file of the flagged comments. The script uses no
code of lengthwise: it needs only ``pip install openai``.
"""

import argparse
import csv
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from openai import OpenAI
from openai.types import Batch

_ENDED = ("completed", "failed", "expired", "cancelled")
_POLL_SECONDS = 0.5


def write_requests(comments: Path, model: str, file: IO[bytes]) -> None:
    """Writes one request per comment, in the format of OpenAI's batches."""
    with comments.open(encoding="utf-8-sig") as source:
        for comment in map(json.loads, source):
            body = {"model": model, "input": comment["text"]}
            request = {"custom_id": comment["id"], "method": "POST", "url": "/v1/moderations", "body": body}
            file.write(json.dumps(request).encode() + b"\n")
    file.seek(0)


def run(client: OpenAI, comments: Path, model: str) -> Batch:
    """Submits the comments as a batch and returns the batch once it has ended."""
    with tempfile.TemporaryFile(suffix=".jsonl") as file:
        write_requests(comments, model, file)
        source = client.files.create(file=("comments.jsonl", file), purpose="batch")
    batch = client.batches.create(input_file_id=source.id, endpoint="/v1/moderations", completion_window="24h")
    while batch.status not in _ENDED:
        time.sleep(_POLL_SECONDS)
        batch = client.batches.retrieve(batch.id)
        if batch.request_counts:
            counts = batch.request_counts
            print(f"{batch.id}: {batch.status}, {counts.completed} of {counts.total}", file=sys.stderr)
    return batch


def lines(client: OpenAI, file_id: str | None) -> Iterator[dict[str, Any]]:
    """Yields the lines of an output or error file as they arrive; none if the batch has no such file."""
    if file_id is not None:
        with client.files.with_streaming_response.content(file_id) as answer:
            yield from map(json.loads, answer.iter_lines())


def write_flagged(client: OpenAI, batch: Batch, target: Path) -> int:
    """Writes the flagged comments' ids and categories. Returns how many requests failed."""
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "categories"])
        for line in lines(client, batch.output_file_id):
            found = line["response"]["body"]["results"][0]
            if found["flagged"]:
                writer.writerow(
                    [line["custom_id"], " ".join(name for name, is_so in found["categories"].items() if is_so)]
                )
    n_failed = 0
    for line in lines(client, batch.error_file_id):
        n_failed += 1
        error = line["error"] or line["response"]["body"]["error"]
        print(f"{line['custom_id']}: {error['code']}, {error['message']}", file=sys.stderr)
    return n_failed


def main() -> None:
    parser = argparse.ArgumentParser(description="Moderates comments by OpenAI's batch API.")
    parser.add_argument("comments", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--model", default="omni-moderation-latest")
    given = parser.parse_args()
    with OpenAI() as client:
        batch = run(client, given.comments, given.model)
        for error in (batch.errors and batch.errors.data) or ():
            print(f"line {error.line}: {error.code}, {error.message}", file=sys.stderr)
        n_failed = write_flagged(client, batch, given.target)
    sys.exit(1 if n_failed or batch.status != "completed" else 0)


if __name__ == "__main__":
    main()
