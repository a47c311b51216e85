"""The client: submits jobs over HTTP and records what was acknowledged. That is what the system must deliver.

Only a 2xx acknowledges a job. After a 503, 507, 429 or a broken connection the client waits and tries again. Any other
answer counts as a fault of the API.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.caller import bearer
from tests.faults.receiver import SECRET

#: The client waits at most this long, even if Retry-After says more, so that a run is short.
_LONGEST_WAIT_SECONDS = 0.3
_UNAVAILABLE = (429, 503, 507)


@dataclass(frozen=True)
class AcknowledgedJob:
    """An acknowledged job: its texts, the errors of the items that must fail, by index, and its webhook."""

    id: str
    texts: Sequence[str]
    errors: Mapping[int, str]
    webhook_url: str | None


@dataclass(frozen=True)
class RecordedAnswer:
    """One answer of the API: its time on the monotonic clock, and its status."""

    at: float
    #: None for a broken connection.
    status: int | None


@dataclass
class FaultClient:
    """Submits jobs and records answers. Several threads may use it."""

    url: str
    jobs: list[AcknowledgedJob] = field(default_factory=list)
    answers: list[RecordedAnswer] = field(default_factory=list)
    #: Answers that the API must never give.
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._http = httpx.Client(base_url=self.url, timeout=20, headers=bearer())

    def close(self) -> None:
        self._http.close()

    def submit(
        self,
        texts: Sequence[str],
        *,
        webhook_url: str | None = None,
        errors: Mapping[int, str] | None = None,
        until: threading.Event | None = None,
        patience: float = 60,
    ) -> AcknowledgedJob | None:
        """Tries until the job is acknowledged. Returns None once ``until`` is set. Raises ``TimeoutError``."""
        body: dict[str, Any] = {"kind": "generate", "items": list(texts)}
        if webhook_url:
            body["webhook"] = {"url": webhook_url, "secret": SECRET}
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            answer = self._request("POST", "/v1/jobs", body)
            if answer is not None and answer.is_success:
                job = AcknowledgedJob(answer.json()["id"], texts, errors or {}, webhook_url)
                self.jobs.append(job)
                return job
            if until is not None and until.is_set():
                return None
        raise TimeoutError(f"the API acknowledged no job within {patience:g} s")

    def get(self, path: str, patience: float = 30) -> httpx.Response:
        """Returns the first 2xx answer for this path. Raises ``TimeoutError``."""
        return self._patiently("GET", path, None, patience)

    def post(self, path: str, body: Mapping[str, Any], patience: float = 30) -> Any:
        """Returns the JSON of the first 2xx answer. Raises ``TimeoutError``."""
        return self._patiently("POST", path, body, patience).json()

    def _patiently(self, method: str, path: str, body: Any, patience: float) -> httpx.Response:
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            answer = self._request(method, path, body)
            if answer is not None and answer.is_success:
                return answer
        raise TimeoutError(f"no 2xx from {path} within {patience:g} s")

    def use(self, key: str) -> None:
        """Uses this key from the next request on."""
        self._http.headers.update(bearer(key))

    def cancel(self, job_id: str) -> None:
        self._request("POST", f"/v1/jobs/{job_id}/cancel")

    def _request(self, method: str, path: str, body: Any = None) -> httpx.Response | None:
        """Sends one request. If it fails, returns None or the error's answer after a pause."""
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.TransportError as error:
            if isinstance(error, httpx.ReadTimeout):
                self.complaints.append(f"no answer to {method} within 20 s")
            self.answers.append(RecordedAnswer(time.monotonic(), None))
            time.sleep(0.05)
            return None
        self.answers.append(RecordedAnswer(time.monotonic(), answer.status_code))
        if answer.is_success:
            return answer
        if answer.status_code not in _UNAVAILABLE:
            self.complaints.append(f"{answer.status_code} to {method}")
        elif not answer.headers.get("retry-after", "").isdigit():
            self.complaints.append(f"{answer.status_code} without Retry-After to {method}")
        wanted = answer.headers.get("retry-after", "")
        time.sleep(min(_LONGEST_WAIT_SECONDS, float(wanted) if wanted.isdigit() else 1.0))
        return answer

    def n_acknowledged_between(self, begin: float, end: float) -> int:
        """Counts 2xx answers in this span of the monotonic clock."""
        return sum(
            answer.status is not None and answer.status < 300 and begin <= answer.at <= end
            for answer in list(self.answers)
        )

    def statuses_between(self, begin: float, end: float) -> set[int | None]:
        return {answer.status for answer in list(self.answers) if begin <= answer.at <= end}
