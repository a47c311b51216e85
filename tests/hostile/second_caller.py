"""The second caller: another tenant with honest requests, who must be answered within a second all the while."""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import httpx

from tests.caller import bearer

#: No honest request may wait for longer.
BOUND_SECONDS = 1.0
#: The pause between two requests.
_PAUSE_SECONDS = 0.1


@dataclass
class Waits:
    """What the caller saw: each request's name, when it began, its seconds, and its status (0: no answer)."""

    seen: list[tuple[str, float, float, int]] = field(default_factory=list)

    @property
    def late(self) -> list[tuple[str, float, float, int]]:
        return [each for each in self.seen if each[2] > BOUND_SECONDS]

    @property
    def failed(self) -> list[tuple[str, float, float, int]]:
        return [each for each in self.seen if not 200 <= each[3] < 300]

    def p99(self) -> float:
        seconds = sorted(each[2] for each in self.seen)
        return seconds[int(len(seconds) * 0.99)] if seconds else 0.0


@contextmanager
def second_caller(url: str, key: str) -> Iterator[Waits]:
    """Calls from a process of its own, so that the attacker's work does not count as the system's."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_call, args=(url, key, theirs), daemon=True)
    process.start()
    waits = Waits()
    try:
        assert ours.recv() == "began"
        yield waits
    finally:
        ours.send("stop")
        waits.seen += ours.recv()
        process.join()


def _call(url: str, key: str, connection: Connection) -> None:
    seen: list[tuple[str, float, float, int]] = []
    with httpx.Client(base_url=url, headers=bearer(key), timeout=60) as client:
        job = client.post("/v1/jobs", json={"kind": "generate", "model": "echo", "items": ["abc"]}).json()["id"]
        requests: list[tuple[str, str, dict[str, Any]]] = [
            ("GET", "/healthz", {}),
            ("POST", "/v1/jobs", {"json": {"kind": "generate", "model": "echo", "items": ["honest"]}}),
            ("GET", f"/v1/jobs/{job}", {}),
            ("GET", f"/v1/jobs/{job}/results", {}),
            ("POST", "/v1/completions", {"json": {"model": "echo", "prompt": "abc", "max_tokens": 4}}),
        ]
        connection.send("began")
        while not connection.poll():
            for method, path, body in requests:
                began, at = time.monotonic(), time.time()
                try:
                    status = client.request(method, path, **body).status_code
                except httpx.HTTPError:
                    status = 0
                seen.append((f"{method} {path.replace(job, 'JOB')}", at, time.monotonic() - began, status))
                time.sleep(_PAUSE_SECONDS)
    connection.send(seen)
