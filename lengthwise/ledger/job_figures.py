"""A job as its caller sees it: its row, and figures summed over its shards."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import NotFound
from lengthwise.states import JobState


@dataclass(frozen=True, slots=True)
class JobFigures:
    """A job's row and the sums over its shards."""

    id: UUID
    tenant_id: UUID
    kind: str
    model: str
    params: dict[str, Any]
    priority: int
    state: JobState
    n_items: int
    n_tokens: int
    n_arrival_padded: int
    chunk_items: int
    deadline_at: datetime | None
    created_at: datetime
    finished_at: datetime | None
    webhook_url: str | None
    deduplicate: bool
    retry_of: UUID | None
    #: How the table was read of which its items are rows, without its columns.
    source: dict[str, Any] | None
    #: Items that are settled, those of them that failed, and items that never ran because the job ended first.
    n_done: int
    n_failed: int
    n_dropped: int
    #: Items that a worker holds now.
    n_leased: int
    #: Items settled in the last minute, and the length of that minute: shorter than 60 s if the job is younger.
    n_recent: int
    recent_seconds: float
    #: Over the settled items: input tokens, output tokens, input tokens with padding, and engine batches.
    n_input: int
    n_output: int
    n_padded: int
    n_batches: float
    #: Items that were answered by the computation of an identical item.
    n_deduplicated: int
    #: Items that succeeded with a warning, by its code. An item with several counts for each.
    n_warned: dict[str, int]

    @property
    def counts(self) -> dict[str, int]:
        """Items by their state. Each item is counted once; ``total`` is the sum of the others."""
        dropped = {"cancelled": self.n_dropped} if self.state == "cancelled" else {"expired": self.n_dropped}
        pending = self.n_items - self.n_done - self.n_dropped
        return {
            "total": self.n_items,
            "pending": pending,
            "succeeded": self.n_done - self.n_failed,
            "failed": self.n_failed,
            "cancelled": dropped.get("cancelled", 0),
            "expired": dropped.get("expired", 0),
        }

    @property
    def items_per_second(self) -> float:
        """The rate over the last minute while the job is open, and over the whole job once it has ended."""
        if self.finished_at is not None:
            return self.n_done / max((self.finished_at - self.created_at).total_seconds(), 0.001)
        return self.n_recent / max(self.recent_seconds, 0.001)


def read(connection: Connection, job_id: UUID, tenant_id: UUID | None = None) -> JobFigures:
    """One job. Raises ``NotFound`` if it does not exist, was deleted, or belongs to another tenant."""
    found = _figures(connection, _ONE, {"job": job_id, "tenant": tenant_id})
    if not found:
        raise NotFound("there is no such job")
    return found[0]


def page(connection: Connection, tenant_id: UUID, after: UUID | None, limit: int) -> list[JobFigures]:
    """A tenant's jobs, newest first; with ``after``, only those created before that job."""
    return _figures(connection, _PAGE, {"tenant": tenant_id, "after": after, "limit": limit})


def submitted_as(connection: Connection, tenant_id: UUID, idempotency_key: str) -> list[JobFigures]:
    """The job that a request with this key made, if any."""
    return _figures(connection, _SUBMITTED_AS, {"tenant": tenant_id, "key": idempotency_key})


def _figures(connection: Connection, where: str, params: dict[str, Any]) -> list[JobFigures]:
    cursor = database.cursor(connection, rows=kwargs_row(_job_figures))
    return cursor.execute(_FIGURES.format(where=where), params).fetchall()


def _job_figures(state: str, **columns: Any) -> JobFigures:
    return JobFigures(state=JobState(state), **columns)


# One pass over the job's shards by their unique index on (job_id, lo), and a second one only if any has warnings.
_FIGURES = """
SELECT jobs.id, jobs.tenant_id, jobs.kind, jobs.model, jobs.params, jobs.priority, jobs.state, jobs.n_items,
       jobs.n_tokens, jobs.n_arrival_padded, jobs.chunk_items, jobs.deadline_at, jobs.created_at, jobs.finished_at,
       jobs.webhook_url, jobs.deduplicate, jobs.retry_of, jobs.source - 'columns' AS source, sums.*
FROM jobs CROSS JOIN LATERAL (
  SELECT coalesce(sum(hi - lo) FILTER (WHERE state = 'done'), 0)::int AS n_done,
         coalesce(sum(n_failed), 0)::int AS n_failed,
         coalesce(sum(hi - lo) FILTER (WHERE state IN ('cancelled', 'expired')), 0)::int AS n_dropped,
         coalesce(sum(hi - lo) FILTER (WHERE state = 'leased'), 0)::int AS n_leased,
         coalesce(sum(hi - lo) FILTER (WHERE settled_at > now() - interval '1 minute'), 0)::int AS n_recent,
         least(60, extract(epoch FROM now() - jobs.created_at))::float8 AS recent_seconds,
         coalesce(sum(n_tokens) FILTER (WHERE state = 'done'), 0)::bigint AS n_input,
         coalesce(sum(n_output), 0)::bigint AS n_output,
         coalesce(sum(n_padded), 0)::bigint AS n_padded,
         coalesce(sum(n_batches), 0)::float8 AS n_batches,
         coalesce(sum(n_deduplicated), 0)::int AS n_deduplicated,
         CASE WHEN bool_or(n_warned IS NOT NULL) THEN (
           SELECT jsonb_object_agg(code, n)
           FROM (SELECT code, sum(n::int)::int AS n
                 FROM shards warned CROSS JOIN LATERAL jsonb_each_text(warned.n_warned) AS each (code, n)
                 WHERE warned.job_id = jobs.id GROUP BY code) warning
         ) ELSE '{{}}' END AS n_warned
  FROM shards WHERE shards.job_id = jobs.id
) sums
{where}
"""

_ONE = """
WHERE jobs.id = %(job)s AND (%(tenant)s::uuid IS NULL OR jobs.tenant_id = %(tenant)s) AND jobs.deleted_at IS NULL
"""

_SUBMITTED_AS = """
WHERE jobs.tenant_id = %(tenant)s AND jobs.idempotency_key = %(key)s AND jobs.deleted_at IS NULL
"""

_PAGE = """
WHERE jobs.tenant_id = %(tenant)s AND jobs.deleted_at IS NULL
  AND (%(after)s::uuid IS NULL
       OR (jobs.created_at, jobs.id) < (SELECT created_at, id FROM jobs
                                        WHERE id = %(after)s AND tenant_id = %(tenant)s))
ORDER BY jobs.created_at DESC, jobs.id DESC LIMIT %(limit)s
"""
