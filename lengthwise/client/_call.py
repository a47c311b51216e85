"""The logic of every call, without any I/O: what is sent, what is tried again, and what the answers mean."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from lengthwise.client._effect import HttpRequest, HttpResponse, PauseEffect, SendEffect, Steps, YieldEffect
from lengthwise.client._error import NotFoundError, RefusedError, UnreachableError, WaitTimeoutError, refusal
from lengthwise.client._resource import JobInfo, ModelInfo, Priority
from lengthwise.client._retry_budget import RetryBudget
from lengthwise.client._spool import Spool

#: Seconds that one request waits at the server for a job's end.
_WAIT_SECONDS = 30.0
#: A million items are checked, counted and written before they are acknowledged.
_TAKING_SECONDS = 600.0
_PAGE_JOBS = 100

_MODELS = TypeAdapter(list[ModelInfo])


@dataclass(frozen=True, slots=True)
class JobOptions:
    """A job without its items. What is ``None`` is left to the server."""

    kind: str
    params: Mapping[str, Any]
    model: str | None = None
    priority: Priority | None = None
    deadline: datetime | str | None = None
    webhook: str | Mapping[str, str] | None = None
    deduplicate: bool | None = None

    def to_json(self, **more: Any) -> bytes:
        """With ``more`` beside it."""
        webhook = {"url": self.webhook} if isinstance(self.webhook, str) else self.webhook
        deadline = self.deadline.astimezone().isoformat() if isinstance(self.deadline, datetime) else self.deadline
        own = {
            "kind": self.kind,
            "model": self.model,
            "priority": self.priority,
            "deadline": deadline,
            "webhook": webhook,
            "deduplicate": self.deduplicate,
        }
        return to_json({name: value for name, value in (own | dict(self.params) | more).items() if value is not None})


def sent(request: HttpRequest, patience: RetryBudget) -> Steps[HttpResponse]:
    """Send the request until it succeeds or ``patience`` is spent. Raises ``RefusedError`` and ``UnreachableError``.

    Every request of the client may be sent again: it reads, it ends what may have ended, or it has a key.
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
            error = refused(answer)
        yield PauseEffect(patience.after(error))


def refused(answer: HttpResponse) -> RefusedError:
    return refusal(answer.status, answer.headers.get("retry-after"), answer.content)


def submit(
    spool: Spool, content_type: str, head: bytes | None, key: str | None, patience: RetryBudget
) -> Steps[JobInfo]:
    """Sends a body that is whole; ``head`` where it does not stand in the body."""
    headers = {
        "content-type": content_type,
        "content-encoding": "zstd",
        "content-length": str(spool.size),
        "idempotency-key": key or uuid4().hex,
    }
    if head is not None:
        headers["lengthwise-job"] = _ascii(head)
    request = HttpRequest("POST", "/v1/jobs", headers=headers, body=spool, patience_seconds=_TAKING_SECONDS)
    answer = yield from sent(request, patience)
    return JobInfo.model_validate_json(answer.content)


def _ascii(head: bytes) -> str:
    """The same JSON in ASCII alone, as headers travel everywhere."""
    return json.dumps(from_json(head))


def look(job_id: str, patience: RetryBudget, wait: float = 0) -> Steps[JobInfo]:
    """The job as it is, or as it is after ``wait`` seconds (60 at most) unless it ends before."""
    request = HttpRequest("GET", path(job_id), {"wait": wait} if wait else {}, patience_seconds=wait)
    answer = yield from sent(request, patience)
    return JobInfo.model_validate_json(answer.content)


def wait(job_id: str, seconds: float | None, patience: RetryBudget) -> Steps[JobInfo]:
    """The job once it has ended. Raises ``WaitTimeoutError`` where that takes longer."""
    left = float("inf") if seconds is None else seconds
    while True:
        asked = min(left, _WAIT_SECONDS)
        info = yield from look(job_id, patience, asked)
        if info.has_ended:
            return info
        patience.renew()
        left -= asked
        if left <= 0:
            raise WaitTimeoutError("the job has not ended yet; it goes on")


def cancel(job_id: str, patience: RetryBudget) -> Steps[JobInfo]:
    answer = yield from sent(HttpRequest("POST", f"{path(job_id)}/cancel"), patience)
    return JobInfo.model_validate_json(answer.content)


def retry(job_id: str, key: str | None, patience: RetryBudget) -> Steps[JobInfo]:
    """The new job of the failed items."""
    headers = {"idempotency-key": key or uuid4().hex}
    answer = yield from sent(HttpRequest("POST", f"{path(job_id)}/retry", headers=headers), patience)
    return JobInfo.model_validate_json(answer.content)


def delete(job_id: str, patience: RetryBudget) -> Steps[None]:
    """Raises ``NotFoundError``, unless a try before may have been the one that removed it."""
    request = SendEffect(HttpRequest("DELETE", path(job_id)))
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
            error = refused(answer)
            if was_lost and isinstance(error, NotFoundError):
                return
        yield PauseEffect(patience.after(error))


def jobs(limit: int | None, patience: RetryBudget) -> Steps[None]:
    """Gives jobs, the newest first, a page at a time."""
    after: str | None = None
    left = limit
    while left is None or left > 0:
        query: dict[str, str | int | float] = {"limit": min(left or _PAGE_JOBS, _PAGE_JOBS)}
        answer = yield from sent(HttpRequest("GET", "/v1/jobs", query | ({"after": after} if after else {})), patience)
        page = from_json(answer.content)
        found = [JobInfo.model_validate(each) for each in page["data"]]
        yield YieldEffect(list(found))
        if not found or not page["has_more"]:
            return
        after = found[-1].id
        left = None if left is None else left - len(found)
        patience.renew()


def models(patience: RetryBudget) -> Steps[list[ModelInfo]]:
    answer = yield from sent(HttpRequest("GET", "/v1/models"), patience)
    return _MODELS.validate_python(from_json(answer.content)["data"])


def path(job_id: str) -> str:
    """Of a job; what is no id leads to no other path."""
    return f"/v1/jobs/{quote(job_id, safe='')}"
