"""Submits a job at every documented limit at once, on a core that a busy worker shares.

``python -m benchmarks.largest_job`` starts ``lengthwise up`` on one core, keeps its worker busy, and submits 1,000,000
items in a body of 1 GiB, the longest of them of 100,000 characters. It prints the answer, how long it took, and the
longest wait of a second caller meanwhile. It takes about half an hour and 8 GiB of disk. ``--scale 0.01`` makes a
hundredth of the items and of the bytes.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from pydantic_core import to_json

from lengthwise.settings import Settings

_WORDS = "The quick brown fox jumps over the lazy dog, and a wide river runs past the old mill. "
#: The share of the items that have the most characters a text may have. The others fill the body evenly.
_LONG_SHARE = 0.002
_OF_A_LINE = len(to_json({"text": ""})) + 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="share of a body and of a job's items")
    parser.add_argument("--kind", default="moderate", help="a kind that the demo's models serve")
    given = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # this process, the servers, the API and the workers
    with tempfile.TemporaryDirectory(prefix="lengthwise-largest-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL may run as another user
        body = Path(folder) / "job.ndjson"
        write(body, given.scale, given.kind)
        command = [sys.executable, "-P", "-m", "lengthwise", "up", "--data", f"{folder}/data", "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as up:
            assert up.stdout is not None  # noqa: S101
            url = up.stdout.readline().split()[1]  # ready URL
            try:
                measure(url, (Path(folder) / "data" / "admin.key").read_text().strip(), body, given.kind)
            finally:
                up.terminate()


def write(path: Path, scale: float, kind: str) -> None:
    """Writes the body: as many items and bytes as one may have, times ``scale``."""
    limits = Settings()
    n_items, n_bytes = round(limits.max_items * scale), round(limits.max_body_bytes * scale)
    n_long = round(n_items * _LONG_SHARE)
    n_short = n_items - n_long
    head = to_json({"kind": kind}) + b"\n"
    left = n_bytes - len(head) - n_long * (limits.max_text_characters + _OF_A_LINE) - n_short * _OF_A_LINE
    with path.open("wb") as file:
        file.write(head)
        for line in lines(n_items, n_long, limits.max_text_characters, left // n_short):
            file.write(line)
    print(f"{n_items:,} items, {n_long:,} of {limits.max_text_characters:,} characters; {path.stat().st_size:,} bytes")


def lines(n_items: int, n_long: int, longest: int, others: int) -> Iterator[bytes]:
    every = n_items // max(1, n_long)
    text = _WORDS * (longest // len(_WORDS) + 1)
    for number in range(n_items):
        length = longest if number % every == 0 and number // every < n_long else others
        start = f"{number} "
        yield to_json({"text": (start + text)[:length]}) + b"\n"


def measure(url: str, key: str, body: Path, kind: str) -> None:
    client = httpx.Client(base_url=url, timeout=3600, headers={"authorization": f"Bearer {key}"})
    with client:
        busy = {"kind": kind, "items": [f"{number} {_WORDS}" for number in range(20_000)]}
        assert client.post("/v1/jobs", json=busy).status_code == 202  # noqa: S101
        over, waits = threading.Event(), list[float]()
        second = threading.Thread(target=ask, args=(client, over, waits))
        second.start()
        began = time.monotonic()
        with body.open("rb") as file:
            answer = client.post("/v1/jobs", content=file, headers={"content-type": "application/x-ndjson"})
        seconds = time.monotonic() - began
        over.set()
        second.join()
    size = body.stat().st_size
    print(f"answered {answer.status_code} after {seconds:.0f} s ({size / seconds / 2**20:.2f} MiB/s)")
    print(f"a second caller waited for at most {max(waits):.2f} s, in {len(waits)} requests")
    if answer.status_code != 202:
        raise SystemExit(answer.text)


def ask(client: httpx.Client, over: threading.Event, waits: list[float]) -> None:
    while not over.wait(0.5):
        began = time.monotonic()
        client.get("/v1/jobs", params={"limit": 1}).raise_for_status()
        waits.append(time.monotonic() - began)


if __name__ == "__main__":
    main()
