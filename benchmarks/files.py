"""Measures a large file on the OpenAI API: upload, validation, a run with the no-op engine, download.

``python -m benchmarks.files`` makes a file of 200 MB with 50,000 requests. The last line printed is one JSON object.
"""

import argparse
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from pydantic_core import from_json

from benchmarks.queue import stack
from benchmarks.queue.corpus import WORDS, reversed_words, write_catalog
from benchmarks.queue.meter import peak_memory_bytes
from benchmarks.queue.stack import BenchmarkStack

_ENDPOINT = "/v1/completions"
_POLL_SECONDS = 0.5
#: Longer than any step takes. It only ends a run that is stuck.
_TIMEOUT_SECONDS = 1800


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.files", description=__doc__)
    parser.add_argument("--lines", type=int, default=50_000)
    parser.add_argument("--megabytes", type=float, default=200, help="size of the file, in units of 10^6 bytes")
    given = parser.parse_args()
    with stack.bench() as bench:
        source = bench.folder / "requests.jsonl"
        write(source, given.lines, int(given.megabytes * 1e6))
        catalog = with_larger_limits(write_catalog(bench.folder / "instant"))
        # The engine does no work, so this measures everything around it.
        with stack.ours(bench, catalog) as running:
            print(json.dumps(measure(running, source, given.lines)))


def with_larger_limits(catalog: Path) -> Path:
    """Raises the model's limits, so that it takes texts and answers of several kilobytes."""
    catalog.write_text(catalog.read_text().replace("= 128", "= 4096").replace("8192", "65536"))
    config = catalog.with_name("config.json")
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 4096}))
    return catalog


def write(path: Path, n_lines: int, n_bytes: int) -> None:
    """Writes requests of similar size. Every prompt differs."""
    drawn = random.Random(5)
    n_words = (n_bytes // n_lines - len(_line(0, "")) - 4) // (len(WORDS[0]) + 1)
    bodies = [" ".join(drawn.choices(WORDS, k=n_words - 2)) for _ in range(100)]
    with path.open("w") as file:
        for number in range(n_lines):
            own = f"{WORDS[number % len(WORDS)]} {WORDS[number // len(WORDS)]}"
            file.write(_line(number, f"{own} {bodies[number % len(bodies)]}"))


def _line(number: int, prompt: str) -> str:
    body = {"model": "echo", "prompt": prompt}
    return json.dumps({"custom_id": f"request-{number}", "method": "POST", "url": _ENDPOINT, "body": body}) + "\n"


def measure(running: BenchmarkStack, source: Path, n_lines: int) -> dict[str, Any]:
    """Returns the seconds of each step, and the API process's peak memory after each step."""
    figures: dict[str, Any] = {"lines": n_lines, "bytes": source.stat().st_size}
    url, headers = f"http://127.0.0.1:{running.port}", {"authorization": f"Bearer {running.key}"}
    with httpx.Client(base_url=url, headers=headers, timeout=_TIMEOUT_SECONDS) as http:
        figures["api_mib_at_rest"] = _peak(running)
        began = time.monotonic()
        with source.open("rb") as file:
            stored = _json(http.post("/v1/files", data={"purpose": "batch"}, files={"file": file}))
        began = _note(figures, running, "upload", began)
        asked = {"input_file_id": stored["id"], "endpoint": _ENDPOINT, "completion_window": "24h"}
        batch = _json(http.post("/v1/batches", json=asked))
        batch = _until(http, batch, lambda status: status != "validating")
        began = _note(figures, running, "validate", began)
        batch = _until(http, batch, lambda status: status not in ("in_progress", "finalizing"))
        began = _note(figures, running, "run", began)
        found = source.with_name("output.jsonl")
        with http.stream("GET", f"/v1/files/{batch['output_file_id']}/content") as answer, found.open("wb") as file:
            for block in answer.iter_bytes(2**20):
                file.write(block)
        _note(figures, running, "download", began)
    figures |= {"status": batch["status"], "counts": batch["request_counts"], "output_bytes": found.stat().st_size}
    return figures | {"right_answers": check(source, found)}


def _json(answer: httpx.Response) -> dict[str, Any]:
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def _until(http: httpx.Client, batch: dict[str, Any], is_so: Any) -> dict[str, Any]:
    gives_up_at = time.monotonic() + _TIMEOUT_SECONDS
    while not is_so(batch["status"]):
        if time.monotonic() > gives_up_at:
            raise RuntimeError(f"the batch is still {batch['status']}")
        time.sleep(_POLL_SECONDS)
        batch = _json(http.get(f"/v1/batches/{batch['id']}"))
    return batch


def _note(figures: dict[str, Any], running: BenchmarkStack, step: str, began: float) -> float:
    now = time.monotonic()
    figures |= {f"{step}_seconds": round(now - began, 1), f"api_mib_after_{step}": _peak(running)}
    return now


def _peak(running: BenchmarkStack) -> int:
    return round(peak_memory_bytes(running.api_pid) / 2**20)


def check(source: Path, found: Path) -> int:
    """Returns how many requests have the right answer.

    Raises ``RuntimeError`` if a line occurs twice or belongs to no request.
    """
    answers = {}
    for line in _lines(found):
        if line["custom_id"] in answers:
            raise RuntimeError("the output has two lines with the same custom_id")
        answers[line["custom_id"]] = hash(line["response"]["body"]["choices"][0]["text"])
    right = sum(
        answers.pop(line["custom_id"], None) == hash(reversed_words(line["body"]["prompt"])) for line in _lines(source)
    )
    if answers:
        raise RuntimeError("the output has a line whose custom_id belongs to no request")
    return right


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        yield from map(from_json, file)


if __name__ == "__main__":
    main()
