"""What a caller may see of its jobs: figures summed over shards, and results in the caller's order."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import kwargs_row
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import NotFound
from lengthwise.states import JobState, ResultStatus


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
    #: Items settled, those of them that failed, and those that were never run because the job ended first.
    n_done: int
    n_failed: int
    n_dropped: int
    #: Items that a worker holds at this moment.
    n_leased: int
    #: Items settled in the last minute, and seconds since the job's first minute began, at most 60.
    n_recent: int
    recent_seconds: float
    #: Of the settled items: tokens read, tokens written, tokens read with padding, engine batches.
    n_input: int
    n_output: int
    n_padded: int
    n_batches: float
    #: Items answered by another item's computation.
    n_deduplicated: int

    @property
    def counts(self) -> dict[str, int]:
        """Every item exactly once; ``total`` is their sum."""
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
        """While open, over the last minute; at the end, over the whole job."""
        if self.finished_at is not None:
            return self.n_done / max((self.finished_at - self.created_at).total_seconds(), 0.001)
        return self.n_recent / max(self.recent_seconds, 0.001)


def read(connection: Connection, job_id: UUID, tenant_id: UUID | None = None) -> JobFigures:
    """One job. Raises ``NotFound`` if there is none of this id, or it is another tenant's."""
    found = _figures(connection, _ONE, {"job": job_id, "tenant": tenant_id})
    if not found:
        raise NotFound("there is no such job")
    return found[0]


def page(connection: Connection, tenant_id: UUID, after: UUID | None, limit: int) -> list[JobFigures]:
    """A tenant's jobs, newest first, those created before the job ``after``."""
    return _figures(connection, _PAGE, {"tenant": tenant_id, "after": after, "limit": limit})


def _figures(connection: Connection, where: str, params: dict[str, Any]) -> list[JobFigures]:
    cursor = database.cursor(connection, rows=kwargs_row(_job_figures))
    return cursor.execute(_FIGURES.format(where=where), params).fetchall()


def _job_figures(state: str, **columns: Any) -> JobFigures:
    return JobFigures(state=JobState(state), **columns)


class ResultRow(NamedTuple):
    index: int  # type: ignore[assignment]  # tuples have a method of that name, which nobody misses here
    #: One of ``ResultStatus``.
    status: str
    #: The line as it was settled; None for an item that never ran, whose ``payload`` is then given.
    line: bytes | None
    payload: bytes | None


#: What ``_make`` does, without a call into Python for each row.
_as_result: Callable[[Iterable[Any]], ResultRow] = partial(tuple.__new__, ResultRow)


@dataclass(frozen=True, slots=True)
class ResultPage:
    rows: list[ResultRow]
    #: Where the next page begins; None at the end of the job.
    next_after: int | None


def results(
    connection: Connection,
    job_id: UUID,
    *,
    after: int,
    limit: int,
    chunk_items: int,
    n_items: int,
    has_dropped: bool = True,
    status: ResultStatus | None = None,
) -> ResultPage:
    """The next results by index, at most ``limit``, those settled with ``status`` where it is given; a gap is an item
    that has no result yet.

    A page lies within one chunk of items, as they were sorted, so that the items that never ran are found by their
    shards without an index over every item. A page may be empty with more to follow. Raises ``NotFound`` once the job
    is deleted, rather than let its gaps pass for results that are still to come.
    """
    start = (after + 1) // chunk_items * chunk_items
    end = start + chunk_items
    reading, asking = (database.cursor(connection, binary=True) for _ in range(2))
    with database.pipelined(connection):
        statement = _STATEMENTS[has_dropped, status is not None]
        where = {"job": job_id, "after": after, "start": start, "end": end, "limit": limit, "status": status}
        reading.execute(statement, where)
        # Asked afterwards: had it been deleted before, its rows might have been going while they were read.
        asking.execute(_IS_THERE, {"job": job_id})
        rows = list(map(_as_result, reading.fetchall()))
        if asking.fetchone() is None:
            raise NotFound("there is no such job")
    last = rows[-1].index if len(rows) == limit else end - 1
    return ResultPage(rows, last if last < n_items - 1 else None)


# One pass over the job's shards, by their unique index on (job_id, lo).
_FIGURES = """
SELECT jobs.id, jobs.tenant_id, jobs.kind, jobs.model, jobs.params, jobs.priority, jobs.state, jobs.n_items,
       jobs.n_tokens, jobs.n_arrival_padded, jobs.chunk_items, jobs.deadline_at, jobs.created_at, jobs.finished_at,
       jobs.webhook_url, jobs.deduplicate, jobs.retry_of, sums.*
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
         coalesce(sum(n_deduplicated), 0)::int AS n_deduplicated
  FROM shards WHERE shards.job_id = jobs.id
) sums
{where}
"""

_ONE = """
WHERE jobs.id = %(job)s AND (%(tenant)s::uuid IS NULL OR jobs.tenant_id = %(tenant)s) AND jobs.deleted_at IS NULL
"""

_PAGE = """
WHERE jobs.tenant_id = %(tenant)s AND jobs.deleted_at IS NULL
  AND (%(after)s::uuid IS NULL
       OR (jobs.created_at, jobs.id) < (SELECT created_at, id FROM jobs
                                        WHERE id = %(after)s AND tenant_id = %(tenant)s))
ORDER BY jobs.created_at DESC, jobs.id DESC LIMIT %(limit)s
"""

_SETTLED = """
SELECT index, status, result, NULL::bytea AS payload FROM results
WHERE job_id = %(job)s AND index > %(after)s AND index < %(end)s ORDER BY index LIMIT %(limit)s
"""
_SETTLED_SO = _SETTLED.replace("ORDER BY", "AND status = %(status)s ORDER BY")

# Settled rows of one chunk, and the items of its shards that never ran.
_AND_DROPPED = """
({settled})
UNION ALL
SELECT item.index, shards.state, NULL, item.payload
FROM shards CROSS JOIN LATERAL (
  SELECT index, payload FROM items
  WHERE items.job_id = shards.job_id AND items.pos >= shards.lo AND items.pos < shards.hi OFFSET 0
) item
WHERE shards.job_id = %(job)s AND shards.lo >= %(start)s AND shards.lo < %(end)s
  AND shards.state IN ('cancelled', 'expired') AND item.index > %(after)s
ORDER BY index LIMIT %(limit)s
"""

_RESULTS = _AND_DROPPED.format(settled=_SETTLED)

#: By whether there are items that never ran, and whether those of one status are wanted.
_STATEMENTS = {
    (False, False): _SETTLED,
    (False, True): _SETTLED_SO,
    (True, False): _RESULTS,
    (True, True): _AND_DROPPED.format(settled=_SETTLED_SO),
}

_IS_THERE = "SELECT 1 FROM jobs WHERE id = %(job)s AND deleted_at IS NULL"
