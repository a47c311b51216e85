"""The logic of every call except reading results: what is sent, what is retried, and what the answers mean. No I/O."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from lengthwise.client._effect import HttpRequest, HttpResponse, SendEffect, Steps, YieldEffect
from lengthwise.client._error import NotFoundError, RefusedError, UnreachableError, WaitTimeoutError, refusal
from lengthwise.client._resource import EstimateInfo, JobInfo, LimitsInfo, ModelInfo, Priority, WorkerInfo
from lengthwise.client._retry_budget import RetryBudget
from lengthwise.client._spool import Spool
from lengthwise.errors import ConfigurationError

#: How long one request waits at the server for the end of a job.
_WAIT_SECONDS = 30.0
#: The server validates, counts and stores up to a million items before it answers a submission.
_SUBMIT_SECONDS = 600.0
_PAGE_JOBS = 100

_MODELS = TypeAdapter(list[ModelInfo])
_WORKERS = TypeAdapter(list[WorkerInfo])


@dataclass(frozen=True, slots=True)
class JobOptions:
    """A job without its items. The server chooses what is ``None``."""

    kind: str
    params: Mapping[str, Any]
    model: str | None = None
    priority: Priority | None = None
    deadline: datetime | str | None = None
    webhook: str | Mapping[str, str] | None = None
    deduplicate: bool | None = None
    name: str | None = None
    tags: Sequence[str] | None = None
    source_file: str | None = None

    def to_json(self, **more: Any) -> bytes:
        """One JSON object, with the fields in ``more`` added."""
        webhook = {"url": self.webhook} if isinstance(self.webhook, str) else self.webhook
        deadline = self.deadline.astimezone().isoformat() if isinstance(self.deadline, datetime) else self.deadline
        own = {
            "kind": self.kind,
            "model": self.model,
            "priority": self.priority,
            "deadline": deadline,
            "webhook": webhook,
            "deduplicate": self.deduplicate,
            "name": self.name,
            "tags": None if self.tags is None else list(self.tags),
            "source_file": self.source_file,
        }
        return to_json({name: value for name, value in (own | dict(self.params) | more).items() if value is not None})


def send(request: HttpRequest, budget: RetryBudget) -> Steps[HttpResponse]:
    """Sends the request until it succeeds or the budget is spent. Raises ``RefusedError`` and ``UnreachableError``.

    Every request of the client is safe to repeat: it only reads, is idempotent, or carries an idempotency key.
    """
    while True:
        error: RefusedError | UnreachableError
        try:
            answer: HttpResponse = yield SendEffect(request)
        except UnreachableError as lost:
            error = lost
        else:
            if answer.status < 300:
                return answer
            error = to_error(answer)
        yield budget.pause_after(error)


def to_error(answer: HttpResponse) -> RefusedError:
    return refusal(answer.status, answer.headers.get("retry-after"), answer.content)


def submit(
    spool: Spool, content_type: str, options: bytes | None, key: str | None, budget: RetryBudget
) -> Steps[JobInfo]:
    """Sends a finished body. ``options`` go into a header if the body has no place for them."""
    headers = _body_headers(spool, content_type, options) | {"idempotency-key": _idempotency_key(key)}
    request = HttpRequest("POST", "/v1/jobs", headers=headers, body=spool, wait_seconds=_SUBMIT_SECONDS)
    answer = yield from send(request, budget)
    return JobInfo.model_validate_json(answer.content)


def estimate(
    spool: Spool, content_type: str, options: bytes | None, size: Mapping[str, int | None], budget: RetryBudget
) -> Steps[EstimateInfo]:
    """As ``submit``. ``size`` is what the server cannot see of the job's size."""
    headers = _body_headers(spool, content_type, options)
    query: dict[str, str | int | float] = {name: value for name, value in size.items() if value is not None}
    request = HttpRequest("POST", "/v1/jobs/estimate", query, headers, spool, _SUBMIT_SECONDS)
    answer = yield from send(request, budget)
    return EstimateInfo.model_validate_json(answer.content)


def _body_headers(spool: Spool, content_type: str, options: bytes | None) -> dict[str, str]:
    headers = {"content-type": content_type, "content-encoding": "zstd", "content-length": str(spool.size)}
    return headers if options is None else headers | {"lengthwise-job": _ascii(options)}


def _idempotency_key(key: str | None) -> str:
    """The caller's key, or a new one. Raises ``ConfigurationError`` if it cannot stand in a header."""
    if key is None:
        return uuid4().hex
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
        raise ConfigurationError("an idempotency key must have 1 to 255 visible ASCII characters")
    return key


def _ascii(options: bytes) -> str:
    """The same JSON in ASCII: other characters in a header do not pass every proxy."""
    return json.dumps(from_json(options))


def get(job_id: str, budget: RetryBudget, wait: float = 0) -> Steps[JobInfo]:
    """The job now; or, with ``wait``, when it ends or after that many seconds (60 at most)."""
    request = HttpRequest("GET", job_path(job_id), {"wait": wait} if wait else {}, wait_seconds=wait)
    answer = yield from send(request, budget)
    return JobInfo.model_validate_json(answer.content)


def wait(job_id: str, seconds: float | None, budget: RetryBudget) -> Steps[JobInfo]:
    """The job once it has ended. Raises ``WaitTimeoutError`` after ``seconds``."""
    left = float("inf") if seconds is None else seconds
    while True:
        request_wait = min(left, _WAIT_SECONDS)
        info = yield from get(job_id, budget, request_wait)
        if info.has_ended:
            return info
        budget.renew()
        left -= request_wait
        if left <= 0:
            raise WaitTimeoutError("the job has not ended yet; it goes on")


def cancel(job_id: str, budget: RetryBudget) -> Steps[JobInfo]:
    answer = yield from send(HttpRequest("POST", f"{job_path(job_id)}/cancel"), budget)
    return JobInfo.model_validate_json(answer.content)


def retry(job_id: str, key: str | None, budget: RetryBudget) -> Steps[JobInfo]:
    """The new job, made of the failed items."""
    headers = {"idempotency-key": _idempotency_key(key)}
    answer = yield from send(HttpRequest("POST", f"{job_path(job_id)}/retry", headers=headers), budget)
    return JobInfo.model_validate_json(answer.content)


def delete(job_id: str, budget: RetryBudget) -> Steps[None]:
    """Raises ``NotFoundError``, unless an earlier try whose answer was lost may have deleted the job."""
    request = SendEffect(HttpRequest("DELETE", job_path(job_id)))
    was_lost = False
    while True:
        error: RefusedError | UnreachableError
        try:
            answer: HttpResponse = yield request
        except UnreachableError as lost:
            was_lost, error = True, lost
        else:
            if answer.status < 300:
                return
            error = to_error(answer)
            if was_lost and isinstance(error, NotFoundError):
                return
        yield budget.pause_after(error)


def jobs(limit: int | None, filters: Mapping[str, str | datetime | None], budget: RetryBudget) -> Steps[None]:
    """Yields jobs page by page, the newest first; only those that meet all filters, of which None is none."""
    named = {
        name: value.astimezone().isoformat() if isinstance(value, datetime) else value
        for name, value in filters.items()
        if value is not None
    }
    after: str | None = None
    left = limit
    while left is None or left > 0:
        query: dict[str, str | int | float] = {"limit": min(left or _PAGE_JOBS, _PAGE_JOBS), **named}
        answer = yield from send(HttpRequest("GET", "/v1/jobs", query | ({"after": after} if after else {})), budget)
        page = from_json(answer.content)
        found = [JobInfo.model_validate(each) for each in page["data"]]
        yield YieldEffect(list(found))
        if not page["has_more"]:
            return
        after = page["next_after"]  # a page of a filtered list may have no job although more follow
        left = None if left is None else left - len(found)
        budget.renew()


def models(budget: RetryBudget) -> Steps[list[ModelInfo]]:
    answer = yield from send(HttpRequest("GET", "/v1/models"), budget)
    return _MODELS.validate_python(from_json(answer.content)["data"])


def workers(budget: RetryBudget) -> Steps[list[WorkerInfo]]:
    answer = yield from send(HttpRequest("GET", "/v1/workers"), budget)
    return _WORKERS.validate_python(from_json(answer.content)["data"])


def limits(budget: RetryBudget) -> Steps[LimitsInfo]:
    answer = yield from send(HttpRequest("GET", "/v1/limits"), budget)
    return LimitsInfo.model_validate_json(answer.content)


def job_path(job_id: str) -> str:
    """The path of a job. Quoting keeps a malformed id from leading to another path."""
    return f"/v1/jobs/{quote(job_id, safe='')}"
