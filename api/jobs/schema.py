"""The JSON of the native API: jobs, deliveries and models, in requests and answers."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, create_model, field_validator

from api.jobs.progress.schema import Progress
from lengthwise.kinds import KINDS
from lengthwise.kinds.kind import RequestPart, Text
from lengthwise.kinds.native import NativeKind

#: Of a tag. It may not begin or end with anything else, and is short enough for an index.
TAG_PATTERN = r"^[\w.:/-]{1,64}$"
MAX_TAGS = 16
MAX_NAME = 200
Tag = Annotated[str, Field(pattern=TAG_PATTERN)]

PriorityName = Literal["interactive", "normal", "background"]
StateName = Literal["queued", "running", "completed", "cancelled", "expired"]


class Webhook(RequestPart):
    """A URL that is called when the job has ended. The request is signed as Standard Webhooks says."""

    url: Text = Field(max_length=2000, examples=["https://example.com/hooks/lengthwise"])
    secret: Annotated[Text, Field(max_length=128)] | None = Field(
        default=None,
        description="whsec_ and base64. Without it a new secret is made, and only this answer shows it.",
    )


def _dated(value: Any) -> Any:
    if not isinstance(value, str) or not _DATE.match(value):
        raise ValueError("must be a date and time with its zone, such as 2031-01-31T12:00:00Z")
    return value


_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]", re.ASCII)

#: Only ISO 8601 is accepted. Pydantic alone would take numbers, even in strings, for seconds since 1970.
Time = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_dated)]


class JobHeader(RequestPart):
    """The fields of every job, besides its items and the parameters of its kind."""

    kind: Text = Field(max_length=40)
    model: Annotated[Text, Field(max_length=200)] | None = Field(
        default=None, description="A name from /v1/models. Without it, the first model that serves the job."
    )
    webhook: Webhook | None = None
    priority: PriorityName = "normal"
    deduplicate: bool = Field(
        default=True, description="Whether identical items may share one computation; each has its own result."
    )
    deadline: Time | None = Field(
        default=None,
        description="Items that have not run by this time, given with its zone, are dropped.",
        examples=["2031-01-31T12:00:00Z"],
    )
    name: Annotated[Text, Field(min_length=1, max_length=MAX_NAME)] | None = Field(
        default=None, description="What you call the job. Lists find jobs by the beginning of their names."
    )
    tags: list[Tag] = Field(
        default=[], max_length=MAX_TAGS, description="Words by which lists find the job.", examples=[["nightly"]]
    )
    source_file: Annotated[Text, Field(min_length=1, max_length=255)] | None = Field(
        default=None, description="The name of the file that the items are from."
    )

    @field_validator("tags")
    @classmethod
    def _once(cls, tags: list[str]) -> list[str]:
        return list(dict.fromkeys(tags))


def _form(name: str, kind: NativeKind) -> type[BaseModel]:
    fields: dict[str, Any] = {
        "kind": (Literal[name], ...),
        "items": (list[str | kind.item_type], Field(min_length=1)),  # type: ignore[name-defined]
    }
    return create_model(f"{name.capitalize()}Job", __base__=(JobHeader, kind.params_type), **fields)


#: The whole request of each kind, for the documentation alone: requests are read item by item.
JOB_FORMS: dict[str, type[BaseModel]] = {name: _form(name, kind) for name, kind in KINDS.usable().items()}


class Counts(BaseModel):
    """Counts every item exactly once."""

    total: int
    pending: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int


class EngineFigures(BaseModel):
    """What the engine did for the items that are settled so far."""

    batches: float = Field(description="A batch that is shared with other jobs counts by this job's share of it.")
    tokens_per_second: float = Field(description="Tokens read and written, without padding.")
    padding_share: float = Field(description="The share of padding in the input tokens that were computed.")
    padding_share_arrival_order: float = Field(description="What this share would have been in the order of arrival.")
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
    secret: str = Field(description="Shown only here, and to the same request when it is repeated.")


class JobTable(BaseModel):
    """How the table was read that the job was sent as."""

    format: Literal["csv", "parquet"]
    delimiter: str | None = Field(description="Of CSV: what separates its columns.")
    encoding: str | None = Field(description="Of CSV.")
    text_columns: list[str]
    targets: list[str] = Field(description="If there are any, each text became an item for each of them.")


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
    warnings: dict[str, int] = Field(
        description="Items that succeeded with a warning, by its code. An item with several counts for each.",
        examples=[{"copied": 3, "blank": 10}],
    )
    items_per_second: float = Field(description="Over the last minute. For an ended job, over its whole time.")
    estimated_end_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    deadline_at: datetime | None
    expires_at: datetime | None = Field(description="When an ended job is deleted with its texts and results.")
    retry_of: str | None = Field(description="The job whose failed items these are.")
    name: str | None
    tags: list[str]
    source_file: str | None = Field(description="The name of the file that the items are from.")
    key_id: UUID | None = Field(description="The API key that submitted it.")
    table: JobTable | None = Field(description="Null if the job was not sent as a table.")
    webhook: ShownWebhook | None
    usage: dict[str, int]
    engine: EngineFigures
    links: Links
    progress: Progress | None = Field(
        default=None, description="Why it is not done. Only where one job is asked for; null in lists, for instance."
    )


class CreatedJob(Job):
    webhook: NewWebhook | None


class JobList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Job]
    has_more: bool
    next_after: str | None = Field(
        description="The `after` of the next page; null at the end. A page of a filtered list may have few jobs, or "
        "none, although more follow."
    )


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
    endpoint_id: UUID | None = Field(description="Null for a job's own webhook.")
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
    created: int = Field(description="When its files were written, in Unix seconds; 0 if they are missing.")
    owned_by: str = Field(description="The engine that runs it. The name is that of OpenAI's list.")
    revision: str | None = Field(description="The model_revision of its results; null if its files are missing.")
    kinds: list[str]
    quantization: str
    context: int | None = Field(description="The longest input, in tokens; null if its files are missing.")
    languages: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = Field(
        description="Pairs of source and target, for a translation model."
    )
    usable: bool = Field(description="Whether jobs may name it. If not, they are refused with reason and remedy.")
    reason: str | None = Field(description="Why it cannot be served; null if it is usable.")
    remedy: str | None = Field(description="The command that mends it, or what to do; null if it is usable.")


class ModelList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]
    is_current: bool = Field(description="False while models.toml is not valid: then these are its last models.")
