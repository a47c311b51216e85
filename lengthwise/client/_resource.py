"""The API's answers as typed objects. Fields that a newer server adds are kept, as attributes."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

State = Literal["queued", "running", "completed", "cancelled", "expired"]
Priority = Literal["interactive", "normal", "background"]

ENDED: frozenset[str] = frozenset({"completed", "cancelled", "expired"})


class _Resource(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class ItemCounts(_Resource):
    """How many items are in which state; each item counts once."""

    total: int
    pending: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int


class JobWebhook(_Resource):
    url: str
    #: Only in the answer to the submission.
    secret: str | None = None


class TableInfo(_Resource):
    """How the server read the table that was submitted."""

    format: Literal["csv", "parquet"]
    #: Of CSV: what separates its columns, and its encoding.
    delimiter: str | None
    encoding: str | None
    text_columns: list[str]
    targets: list[str]


class JobPosition(_Resource):
    """What workers claim before the job's first shard that waits; with ``at_least``, perhaps more."""

    shards: int
    tokens: int
    tenants: int
    at_least: bool
    #: The share of the work that the job's tenant gets.
    share: float


class JobErrors(_Resource):
    """Failed items of one error code; with ``at_least``, perhaps more."""

    code: str
    message: str | None
    count: int
    at_least: bool
    #: The ids of the first of them, or their indexes if they have no id.
    first_items: list[str]
    #: The command that runs the failed items again; None if that cannot help.
    retry: str | None


class JobProgress(_Resource):
    """Why a job is not done."""

    #: Such as "behind_others"; docs/states.md lists them. A newer server may have further ones.
    reason: str
    #: The same in one sentence, with what to do.
    message: str
    since: datetime | None
    until: datetime | None
    workers: int
    items_per_second: float
    estimated_end_at: datetime | None
    position: JobPosition | None
    errors: list[JobErrors]


class JobInfo(_Resource):
    """A job as it was when the API answered."""

    id: str
    kind: str
    model: str
    params: dict[str, Any]
    priority: Priority
    state: State
    counts: ItemCounts
    #: Items that succeeded with a warning, by its code. An item with several counts for each.
    warnings: dict[str, int] = {}
    items_per_second: float
    estimated_end_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    deadline_at: datetime | None
    expires_at: datetime | None
    retry_of: str | None
    name: str | None = None
    tags: list[str] = []
    #: The name of the file that the items are from.
    source_file: str | None = None
    #: The API key that submitted it.
    key_id: str | None = None
    #: None if the job was not submitted as a table.
    table: TableInfo | None = None
    webhook: JobWebhook | None
    usage: dict[str, int]
    engine: dict[str, float]
    #: None in lists, and in the answer to a submission.
    progress: JobProgress | None = None

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED


class SpeedEstimate(_Resource):
    #: Over all workers; None if it is not known, for the reason in ``reason``.
    tokens_per_second: float | None
    #: How it is known, such as "measured" in the last minute.
    source: str | None
    reason: str | None


class RefusalEstimate(_Resource):
    status: int
    detail: str
    #: After so many seconds the job may be taken; None if never.
    retry_after: int | None


class EstimateInfo(_Resource):
    """What a job would take, as the API estimated it."""

    kind: str
    model: str
    priority: Priority
    items: int
    #: Items that were read. If there are more, they are taken to be like these.
    measured_items: int
    #: Items that would fail at once.
    failing_items: int
    input_tokens: int
    #: With the padding of batches in order of length, and in order of arrival.
    padded_tokens: int
    padded_tokens_arrival_order: int
    shards: int
    speed: SpeedEstimate
    tokens_ahead: int
    #: For the job alone, and with what is ahead of it; None if the speed is not known.
    own_seconds: float | None
    seconds: float | None
    estimated_end_at: datetime | None
    #: Why the job would be refused now.
    refusals: list[RefusalEstimate]


class ItemError(_Resource):
    code: str
    message: str


class Result(_Resource):
    """The result of one item: its ``output`` or its ``error``."""

    index: int
    status: Literal["succeeded", "failed", "cancelled", "expired"]
    id: str | None = None
    output: dict[str, Any] | None = None
    error: ItemError | None = None
    #: Why the output may be poor, as codes such as "copied".
    warnings: list[str] = []
    usage: dict[str, int] | None = None
    model_revision: str | None = None
    metadata: dict[str, Any] | None = None

    @property
    def text(self) -> str | None:
        """The text of the output or of its message; ``None`` if it has neither."""
        output = self.output or {}
        text = output.get("text", (output.get("message") or {}).get("content"))
        return text if isinstance(text, str) else None


class ModelInfo(_Resource):
    id: str
    #: None if the model's files are missing; so is ``context``.
    revision: str | None
    kinds: list[str]
    quantization: str
    context: int | None
    languages: list[tuple[str, str]]
    #: Whether jobs may name it. If not, ``reason`` says why, and ``remedy`` what mends it.
    usable: bool = True
    reason: str | None = None
    remedy: str | None = None


class WorkerModelInfo(_Resource):
    """A model that a worker holds, or could not load."""

    name: str
    state: Literal["loaded", "failed"]
    revision: str | None
    quantization: str | None
    device: str | None
    #: Of the model's tensors; None if it is unknown.
    memory_bytes: int | None
    load_seconds: float | None
    #: Why it, or the newer revision of a loaded model, could not be loaded.
    reason: str | None
    failed_at: datetime | None
    paused_until: datetime | None
    paused_for: str | None


class WorkerInfo(_Resource):
    """A process that works, as it last reported itself."""

    id: str
    role: str
    name: str
    host: str
    pid: int
    device: str | None
    version: str
    #: ``starting``, ``idle``, ``working`` or ``stopping``; ``lost`` if it has not reported for three periods.
    state: str
    started_at: datetime
    seen_at: datetime
    seen_seconds: float
    stepped_at: datetime | None
    model: str | None
    pool: str | None
    batch_rows: int | None
    batch_tokens: int | None
    #: Items settled, or webhooks attempted, since it started; and their input and output tokens.
    items: int
    tokens: int
    items_per_second: float
    models: list[WorkerModelInfo]
    last_error: str | None
    last_error_at: datetime | None


class LimitInfo(_Resource):
    """One limit that is in force."""

    #: None for requests without a limit, which nobody counts. With ``at_least`` it is more.
    used: int | None
    at_least: bool
    #: None if there is none.
    limit: int | None
    #: What is refused, while the limit is reached.
    message: str | None


class LimitsInfo(_Resource):
    """The limits of a tenant, and how much of each is in use."""

    open_jobs: LimitInfo
    #: Input tokens that wait or run.
    pending_tokens: LimitInfo
    requests_per_minute: LimitInfo
    webhook_endpoints: LimitInfo
    #: Why no job of any tenant is taken now, because all of them together have too much waiting.
    installation: str | None
