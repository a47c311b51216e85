"""A job as its caller sees it: its row, and its figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import kwargs_row
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import NotFound
from lengthwise.ledger import tally
from lengthwise.states import JobState


@dataclass(frozen=True, slots=True)
class JobFigures:
    """A job's row and the sums over what is settled."""

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
    #: What its caller calls it, and the name of the file that it was.
    name: str | None
    tags: list[str]
    source_file: str | None
    key_id: UUID | None
    #: How the table was read of which its items are rows, without its columns.
    source: dict[str, Any] | None
    #: Which tables have its items and results (``lengthwise.ledger.store``).
    store: int
    #: Items that are settled, those of them that failed, and items that never ran because the job ended first.
    n_done: int
    n_failed: int
    n_dropped: int
    #: Whether a worker holds or settled any item.
    is_begun: bool
    #: Items settled in the last minute, and the length of that minute: 55 to 60 s, or less if the job is younger.
    n_recent: int
    recent_seconds: float
    #: The database's clock as the figures were read.
    read_at: datetime
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


def read_several(connection: Connection, tenant_id: UUID, job_ids: Sequence[UUID]) -> list[JobFigures]:
    """Those of a tenant's jobs that exist, newest first."""
    return _figures(connection, _THESE, {"tenant": tenant_id, "jobs": list(job_ids)})


def submitted_as(connection: Connection, tenant_id: UUID, idempotency_key: str) -> list[JobFigures]:
    """The job that a request with this key made, if any."""
    return _figures(connection, _SUBMITTED_AS, {"tenant": tenant_id, "key": idempotency_key})


def _figures(connection: Connection, where: str, params: dict[str, Any]) -> list[JobFigures]:
    cursor = database.cursor(connection, rows=kwargs_row(_job_figures))
    return cursor.execute(_FIGURES.format(where=where), params).fetchall()


def _job_figures(state: str, **columns: Any) -> JobFigures:
    return JobFigures(state=JobState(state), **columns)


_COLUMNS = (
    "n_done, n_dropped, n_failed, n_recent, recent_seconds, n_input, n_output, n_padded, n_batches, n_deduplicated,"
    " sums.n_warned"
)

_FIRST_STATE = """
(SELECT shards.state FROM shards WHERE shards.job_id = jobs.id AND shards.state IN ('ready', 'leased')
 ORDER BY shards.state LIMIT 1)"""

# Of a job of which nothing is done yet, the index of open shards shows in its first entry whether a worker holds any:
# 'leased' comes before 'ready'. A condition on the state would let the planner read every worker's leased shards.
_FIGURES = f"""
SELECT jobs.id, jobs.tenant_id, jobs.kind, jobs.model, jobs.params, jobs.priority, jobs.state, jobs.n_items,
       jobs.n_tokens, jobs.n_arrival_padded, jobs.chunk_items, jobs.deadline_at, jobs.created_at, jobs.finished_at,
       jobs.webhook_url, jobs.deduplicate, jobs.retry_of, jobs.source - 'columns' AS source, jobs.store,
       jobs.name, coalesce(jobs.tags, '{{{{}}}}') AS tags, jobs.source_file, jobs.key_id,
       {_COLUMNS}, now() AS read_at,
       n_done > 0 OR coalesce({_FIRST_STATE} = 'leased', false) AS is_begun
FROM jobs CROSS JOIN LATERAL ({tally.SUMS.replace("{", "{{").replace("}", "}}")}) sums
{{where}}
"""  # noqa: S608 - built from constants

_ONE = """
WHERE jobs.id = %(job)s AND (%(tenant)s::uuid IS NULL OR jobs.tenant_id = %(tenant)s) AND jobs.deleted_at IS NULL
"""

_SUBMITTED_AS = """
WHERE jobs.tenant_id = %(tenant)s AND jobs.idempotency_key = %(key)s AND jobs.deleted_at IS NULL
"""

_THESE = """
WHERE jobs.tenant_id = %(tenant)s AND jobs.id = ANY(%(jobs)s) AND jobs.deleted_at IS NULL
ORDER BY jobs.created_at DESC, jobs.id DESC
"""

_PAGE = """
WHERE jobs.tenant_id = %(tenant)s AND jobs.deleted_at IS NULL
  AND (%(after)s::uuid IS NULL
       OR (jobs.created_at, jobs.id) < (SELECT created_at, id FROM jobs
                                        WHERE id = %(after)s AND tenant_id = %(tenant)s))
ORDER BY jobs.created_at DESC, jobs.id DESC LIMIT %(limit)s
"""
