"""A job's progress as the API shows it, made of what the ledger knows."""

from sqlalchemy import Connection

from api.jobs.progress import errors, message
from api.jobs.progress.schema import Progress, QueuePosition
from api.jobs.schema import Job
from lengthwise.ledger import why as ledger
from lengthwise.ledger.job_figures import JobFigures
from lengthwise.ledger.why import Why, failed_lines
from lengthwise.states import Reason

#: While nothing can run, the rate of the last minute foretells no end.
_STANDS_STILL = frozenset({Reason.NO_WORKER, Reason.MODEL_UNKNOWN, Reason.MODEL_NOT_SERVED})


def with_progress(connection: Connection, figures: JobFigures, shown: Job, presence_seconds: float) -> Job:
    """The job with its progress. ``shown`` is made of the same ``figures``."""
    found = ledger.read(connection, figures, presence_seconds=presence_seconds)
    failed = errors.counted(figures, failed_lines.read_some(connection, figures))
    ends_at = None if found.reason in _STANDS_STILL else shown.estimated_end_at
    rate = {"items_per_second": shown.items_per_second, "estimated_end_at": ends_at}
    progress = _shown(found, message.of_job(found, figures)).model_copy(update={"errors": failed, **rate})
    return shown.model_copy(update={"progress": progress, "estimated_end_at": ends_at})


def of_batch(found: Why) -> Progress:
    """The progress of a batch that has no job yet."""
    return _shown(found, message.of_batch(found))


def _shown(found: Why, sentence: str) -> Progress:
    return Progress(
        reason=found.reason,
        message=sentence,
        since=found.since,
        until=found.until,
        workers=found.workers,
        items_per_second=0.0,
        estimated_end_at=None,
        position=_position(found),
        errors=[],
    )


def _position(found: Why) -> QueuePosition | None:
    if found.reason not in (Reason.BEHIND_URGENT, Reason.BEHIND_OTHERS):
        return None
    return QueuePosition(
        shards=found.n_ahead,
        tokens=found.n_tokens_ahead,
        tenants=found.n_tenants_ahead,
        at_least=found.is_beyond,
        share=round(found.share, 4),
    )
