"""The JSON of OpenAI's API, as its SDKs read and write it. Our extensions are named as such."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from api.jobs.progress.schema import Progress
from api.jobs.schema import NewWebhook, PriorityName, Time, Webhook
from lengthwise.kinds.kind import RequestPart, Text
from lengthwise.kinds.openai import ENDPOINTS


class OutputExpiry(RequestPart):
    anchor: Literal["created_at"]
    seconds: int = Field(ge=3600, le=2_592_000)


def _without_names(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    """Pydantic's error would name the caller's own name as the field that is wrong."""
    try:
        return check(value)
    except ValidationError:
        raise ValueError(
            "must be an object of at most 16 texts, with names of at most 64 characters and texts of at most 512"
        ) from None


#: What OpenAI's API stores with a batch.
BatchMetadata = Annotated[
    Annotated[
        dict[Annotated[Text, Field(max_length=64)], Annotated[Text, Field(max_length=512)]], Field(max_length=16)
    ],
    WrapValidator(_without_names),
]


class NewBatch(RequestPart):
    input_file_id: Text = Field(max_length=64, examples=["file-0198c0de000000000000000000000000"])
    endpoint: Text = Field(max_length=64, examples=list(ENDPOINTS))
    completion_window: Text = Field(
        max_length=16,
        description="A whole number of m, h or d, such as 24h. Requests that have not run then are dropped.",
    )
    metadata: BatchMetadata | None = None
    output_expires_after: OutputExpiry | None = None
    priority: PriorityName = Field(default="normal", description="An extension.")
    deduplicate: bool = Field(
        default=True, description="An extension: whether identical requests may share one computation."
    )
    webhook: Webhook | None = Field(default=None, description="An extension: where the batch's end is announced.")
    deadline: Time | None = Field(default=None, description="An extension: a time within the completion window.")


class BatchError(BaseModel):
    code: str
    line: int | None = None
    message: str
    param: str | None = None


class BatchErrors(BaseModel):
    object: Literal["list"] = "list"
    data: list[BatchError]


class RequestCounts(BaseModel):
    total: int
    completed: int
    failed: int = Field(description="Once the batch has ended, requests that never ran count, too.")


class CachedTokens(BaseModel):
    cached_tokens: int = 0


class ReasoningTokens(BaseModel):
    reasoning_tokens: int = 0


class Usage(BaseModel):
    """The sum over the lines of the output file."""

    input_tokens: int
    input_tokens_details: CachedTokens = CachedTokens()
    output_tokens: int
    output_tokens_details: ReasoningTokens = ReasoningTokens()
    total_tokens: int


StatusName = Literal[
    "validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"
]


class Batch(BaseModel):
    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None = Field(description="The model, if all requests name the same.")
    errors: BatchErrors | None
    input_file_id: str
    completion_window: str
    status: StatusName
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int | None
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: Usage
    metadata: dict[str, str] | None
    progress: Progress | None = Field(
        default=None, description="An extension: why a batch that is validating has not begun; else null."
    )


class CreatedBatch(Batch):
    webhook: NewWebhook | None = Field(default=None, description="An extension, if the request named one.")


class BatchList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Batch]
    first_id: str | None
    last_id: str | None
    has_more: bool


class File(BaseModel):
    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: Literal["batch", "batch_output"]
    status: Literal["processed"] = "processed"
    expires_at: int | None


class FileList(BaseModel):
    object: Literal["list"] = "list"
    data: list[File]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedFile(BaseModel):
    id: str
    object: Literal["file"] = "file"
    deleted: bool = True


class OpenAIError(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    error: OpenAIError
