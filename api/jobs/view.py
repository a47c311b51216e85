"""Jobs as the API shows them, made of the ledger's figures."""

from datetime import datetime, timedelta

from api.jobs.schema import Counts, EngineFigures, Job, JobTable, Links, PriorityName, ShownWebhook, StateName
from lengthwise.ledger.job_figures import JobFigures
from lengthwise.states import JobState, Priority

ENDED_NAMES: dict[JobState, StateName] = {
    JobState.COMPLETED: "completed",
    JobState.CANCELLED: "cancelled",
    JobState.EXPIRED: "expired",
}
PRIORITY_NAMES: dict[Priority, PriorityName] = {
    Priority.INTERACTIVE: "interactive",
    Priority.NORMAL: "normal",
    Priority.BACKGROUND: "background",
}


def job(figures: JobFigures, retention_seconds: int) -> Job:
    """One job. All figures are sums over its shards; ``retention_seconds`` is how long it is kept after its end."""
    path = f"/v1/jobs/{figures.id}"
    counts = Counts(**figures.counts)
    return Job(
        id=str(figures.id),
        kind=figures.kind,
        model=figures.model,
        params=figures.params,
        priority=PRIORITY_NAMES[Priority(figures.priority)],
        deduplicate=figures.deduplicate,
        state=state(figures),
        counts=counts,
        warnings=figures.n_warned,
        items_per_second=round(figures.items_per_second, 2),
        estimated_end_at=_estimated_end(figures, counts.pending),
        created_at=figures.created_at,
        finished_at=figures.finished_at,
        deadline_at=figures.deadline_at,
        expires_at=figures.finished_at and figures.finished_at + timedelta(seconds=retention_seconds),
        retry_of=str(figures.retry_of) if figures.retry_of else None,
        name=figures.name,
        tags=figures.tags,
        source_file=figures.source_file,
        key_id=figures.key_id,
        table=JobTable(**figures.source) if figures.source else None,
        webhook=ShownWebhook(url=figures.webhook_url) if figures.webhook_url else None,
        usage={"input_tokens": figures.n_input, "output_tokens": figures.n_output},
        engine=_engine(figures),
        links=_links(path),
    )


def _links(path: str) -> Links:
    names = ("results", "deliveries", "cancel", "retry")
    return Links(self=path, **{name: f"{path}/{name}" for name in names})


def state(figures: JobFigures) -> StateName:
    """An open job is queued until its first shard is claimed."""
    if figures.state is JobState.OPEN:
        return "running" if figures.is_begun else "queued"
    return ENDED_NAMES[figures.state]


def _estimated_end(figures: JobFigures, pending: int) -> datetime | None:
    if figures.finished_at is not None or figures.n_recent == 0:
        return None
    return figures.read_at + timedelta(seconds=pending / figures.items_per_second)


def _engine(figures: JobFigures) -> EngineFigures:
    useful = figures.n_input + figures.n_output
    per_item = useful / figures.n_done if figures.n_done else 0.0
    return EngineFigures(
        batches=round(figures.n_batches, 2),
        tokens_per_second=round(per_item * figures.items_per_second, 1),
        padding_share=_share(figures.n_input, figures.n_padded),
        padding_share_arrival_order=_share(figures.n_tokens, figures.n_arrival_padded),
        deduplicated=figures.n_deduplicated,
    )


def _share(useful: int, padded: int) -> float:
    return round(1 - useful / padded, 4) if padded > useful else 0.0
