"""The wire of the native surface: what a job is on its way in and out. Errors are in ``problem``."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, create_model

from lengthwise.kinds import KINDS
from lengthwise.kinds.kind import RequestPart, Text
from lengthwise.kinds.native import NativeKind

PriorityName = Literal["interactive", "normal", "background"]
StateName = Literal["queued", "running", "completed", "cancelled", "expired"]


class Webhook(RequestPart):
    """Where a job's end is announced, signed as Standard Webhooks has it."""

    url: Text = Field(max_length=2000, examples=["https://example.com/hooks/lengthwise"])
    secret: Annotated[Text, Field(max_length=128)] | None = Field(
        default=None,
        description="whsec_ and base64; without one a new secret is made and shown once, in the answer.",
    )


def _dated(value: Any) -> Any:
    if not isinstance(value, str) or not _DATE.match(value):
        raise ValueError("must be a date and time with its zone, such as 2031-01-31T12:00:00Z")
    return value


_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]", re.ASCII)

#: Read from ISO 8601 alone: pydantic by itself takes a number, in a string too, for seconds since 1970.
Time = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_dated)]


class JobHeader(RequestPart):
    """What every job says besides its kind's parameters and its items."""

    kind: Text = Field(max_length=40)
    model: Annotated[Text, Field(max_length=200)] | None = Field(
        default=None, description="One of /v1/models; without it the first that serves the job."
    )
    webhook: Webhook | None = None
    priority: PriorityName = "normal"
    deduplicate: bool = Field(
        default=True, description="Whether identical items may share one computation; each has its own result."
    )
    deadline: Time | None = Field(
        default=None,
        description="When what has not run by then is to be dropped, with a time zone.",
        examples=["2031-01-31T12:00:00Z"],
    )


def _form(name: str, kind: NativeKind) -> type[BaseModel]:
    fields: dict[str, Any] = {
        "kind": (Literal[name], ...),
        "items": (list[Annotated[str, Field(min_length=1)] | kind.item_type], Field(min_length=1)),  # type: ignore[name-defined]
    }
    return create_model(f"{name.capitalize()}Job", __base__=(JobHeader, kind.params_type), **fields)


#: The request's form for each kind, for the documentation; requests are read item by item in ``intake``.
JOB_FORMS: dict[str, type[BaseModel]] = {name: _form(name, kind) for name, kind in KINDS.usable().items()}


class Counts(BaseModel):
    """Every item exactly once."""

    total: int
    pending: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int


class EngineFigures(BaseModel):
    """What the engine did for the items settled so far."""

    batches: float = Field(description="A batch shared with other jobs counts by this job's part of it.")
    tokens_per_second: float = Field(description="Useful ones: read and written, no padding.")
    padding_share: float = Field(description="Of the input tokens computed, those that were padding.")
    padding_share_arrival_order: float = Field(description="What that would have been in order of arrival.")
    deduplicated: int = Field(description="Items answered by another item's computation.")


class Links(BaseModel):
    self: str
    results: str
    deliveries: str
    cancel: str
    retry: str


class ShownWebhook(BaseModel):
    url: str


class NewWebhook(ShownWebhook):
    secret: str = Field(description="Shown here, to the same request again, and nowhere else.")


class Job(BaseModel):
    id: str
    object: Literal["job"] = "job"
    kind: str
    model: str
    params: dict[str, Any]
    priority: PriorityName
    deduplicate: bool
    state: StateName
    counts: Counts
    items_per_second: float = Field(description="Over the last minute; of an ended job over all of it.")
    estimated_end_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    deadline_at: datetime | None
    expires_at: datetime | None = Field(description="When an ended job, its texts and results are forgotten.")
    retry_of: str | None = Field(description="The job whose failed items these are.")
    webhook: ShownWebhook | None
    usage: dict[str, int]
    engine: EngineFigures
    links: Links


class CreatedJob(Job):
    webhook: NewWebhook | None


class JobList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Job]
    has_more: bool


class Attempt(BaseModel):
    n: int
    started_at: datetime
    seconds: float
    status: int | None = Field(description="The receiver's answer, if there was one.")
    error: str | None
    response: str = Field(description="The beginning of the answer, 512 characters at most.")


class Delivery(BaseModel):
    id: UUID = Field(description="The webhook-id is msg_ and this without hyphens, the same in every attempt.")
    job_id: UUID | None
    endpoint_id: UUID | None = Field(description="None of a job's own webhook.")
    event: str
    url: str
    state: Literal["pending", "delivered", "failed"]
    created_at: datetime
    next_attempt_at: datetime | None
    finished_at: datetime | None
    attempts: list[Attempt]


class DeliveryList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Delivery]


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="When its files were written, in Unix seconds.")
    owned_by: str = Field(description="As OpenAI's list has it: the engine that runs it.")
    revision: str = Field(description="As results have it in model_revision.")
    kinds: list[str]
    quantization: str
    context: int = Field(description="The longest input, in tokens.")
    languages: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = Field(
        description="Of a translation model: source and target."
    )


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]
    is_current: bool = Field(description="False while models.toml is not valid: these are what it named last.")
