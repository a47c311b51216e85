"""A client of the HTTP API that uses little CPU, because it shares the core with the system that it measures.

The baselines have the same API, as far as this client uses it.
"""

import json
import shutil
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

Job = dict[str, Any]
#: The pause between two polls of a job. Polls cost the API CPU time, as they do in production.
POLL_SECONDS = 0.5
_CHUNK = 2**20


class RequestFailure(Exception):
    """The API's answer was not a success."""


class BenchmarkClient:
    def __init__(self, port: int, key: str | None = None) -> None:
        self._key = {"authorization": f"Bearer {key}"} if key else {}
        self._connection = HTTPConnection("127.0.0.1", port, timeout=1800, blocksize=_CHUNK)

    def new_key(self) -> str:
        """Creates a key such as callers have. The API checks it in the database."""
        body = json.dumps({"name": "benchmark", "scopes": ["submit", "read", "webhooks"]})
        return str(self._json("POST", "/v1/keys", body, {"content-type": "application/json"})["key"])

    def register(self, receiver: str, *events: str) -> str:
        """Registers a receiver of these events and returns the endpoint's id."""
        body = json.dumps({"url": receiver, "events": events})
        return str(self._json("POST", "/v1/webhook-endpoints", body, {"content-type": "application/json"})["id"])

    def submit(self, body: Path) -> str:
        """Streams a job from a file of NDJSON and returns its id."""
        headers = {"content-type": "application/x-ndjson", "content-length": str(body.stat().st_size)}
        with body.open("rb") as file:
            return str(self._json("POST", "/v1/jobs", file, headers)["id"])

    def submit_one(self, text: str, priority: str) -> str:
        body = json.dumps({"kind": "generate", "priority": priority, "items": [text]})
        return str(self._json("POST", "/v1/jobs", body, {"content-type": "application/json"})["id"])

    def job(self, job_id: str) -> Job:
        found: Job = self._json("GET", f"/v1/jobs/{job_id}")
        return found

    def cancel(self, job_id: str) -> None:
        self._json("POST", f"/v1/jobs/{job_id}/cancel")

    def wait(self, job_id: str, watch: Callable[[Job], None] = lambda _: None, timeout: float = 1800) -> Job:
        """Polls until the job has ended, and calls ``watch`` with each answer. Raises ``TimeoutError``."""
        gives_up_at = time.monotonic() + timeout
        while time.monotonic() < gives_up_at:
            found = self.job(job_id)
            watch(found)
            if found["finished_at"] is not None:
                return found
            time.sleep(POLL_SECONDS)
        raise TimeoutError(f"the job did not end within {timeout:g} s")

    def results(self, job_id: str, wait: int) -> bytes:
        """Returns the result lines that exist when the job ends, or after ``wait`` seconds."""
        return self._ask("GET", f"/v1/jobs/{job_id}/results?wait={wait}").read()

    def download(self, job_id: str, path: Path) -> None:
        """Downloads all results into a file."""
        with path.open("wb") as file:
            shutil.copyfileobj(self._ask("GET", f"/v1/jobs/{job_id}/results"), file, _CHUNK)

    def _json(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        return json.loads(self._ask(method, path, body, headers).read())

    def _ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> HTTPResponse:
        self._connection.request(method, path, body, (headers or {}) | self._key)
        answer = self._connection.getresponse()
        if answer.status >= 300:
            raise RequestFailure(f"{method} {path}: {answer.status} {answer.read()[:500]!r}")
        return answer
