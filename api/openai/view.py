"""Batches and files as OpenAI's SDKs read them. All times are Unix seconds."""

from datetime import datetime

from api.openai.identifier import batch_name, file_name
from api.openai.schema import Batch, BatchErrors, File, RequestCounts, StatusName, Usage
from lengthwise.ledger.openai import batch as ledger
from lengthwise.ledger.openai import file as files
from lengthwise.states import BatchState, JobState

_ENDED: dict[str | None, StatusName] = {
    JobState.COMPLETED: "completed",
    JobState.CANCELLED: "cancelled",
    JobState.EXPIRED: "expired",
}
_WITHOUT_JOB: dict[str, StatusName] = {
    BatchState.VALIDATING: "validating",
    BatchState.FAILED: "failed",
    BatchState.CANCELLED: "cancelled",
}


def status(figures: ledger.BatchRow) -> StatusName:
    if figures.state in _WITHOUT_JOB:
        return _WITHOUT_JOB[figures.state]
    if figures.job_state in _ENDED:
        return _ENDED[figures.job_state]
    if figures.cancelling_at is not None:
        return "cancelling"
    return "finalizing" if figures.n_done == figures.n_items else "in_progress"


def batch(figures: ledger.BatchRow) -> Batch:
    """One batch. Each of its files exists as soon as it has a line, and can be read while the batch runs."""
    now = status(figures)
    ended_at = _seconds(figures.finished_at)
    errors = figures.details.get("errors")
    n_input, n_output = figures.used_input, figures.used_output
    return Batch(
        id=batch_name(figures.id),
        endpoint=figures.endpoint,
        model=figures.model,
        errors=BatchErrors(data=errors) if errors else None,
        input_file_id=file_name(figures.input_file_id),
        completion_window=figures.completion_window,
        status=now,
        output_file_id=file_name(figures.id, 1) if figures.n_succeeded else None,
        error_file_id=file_name(figures.id, 2) if figures.n_failed + figures.n_dropped else None,
        created_at=int(figures.created_at.timestamp()),
        in_progress_at=_seconds(figures.in_progress_at),
        expires_at=_seconds(figures.deadline_at),
        finalizing_at=ended_at if now == "completed" else None,
        completed_at=ended_at if now == "completed" else None,
        failed_at=ended_at if now == "failed" else None,
        expired_at=ended_at if now == "expired" else None,
        cancelling_at=_seconds(figures.cancelling_at) or (ended_at if now == "cancelled" else None),
        cancelled_at=ended_at if now == "cancelled" else None,
        request_counts=RequestCounts(
            total=figures.n_items, completed=figures.n_succeeded, failed=figures.n_failed + figures.n_dropped
        ),
        usage=Usage(input_tokens=n_input, output_tokens=n_output, total_tokens=n_input + n_output),
        metadata=figures.details.get("metadata"),
    )


def file(found: files.FileRow) -> File:
    return File(
        id=file_name(found.id, found.part),
        bytes=found.n_bytes,
        created_at=int(found.created_at.timestamp()),
        filename=found.filename or output_name(found),
        purpose="batch_output" if found.part else "batch",
        expires_at=_seconds(found.expires_at),
    )


def output_name(found: files.FileRow) -> str:
    return f"{batch_name(found.id)}_{'error' if found.part == 2 else 'output'}.jsonl"


def _seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())
