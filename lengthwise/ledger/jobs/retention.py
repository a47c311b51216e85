"""Hides jobs whose retention time is over, and removes the rows of hidden jobs in portions.

A portion is a range of the primary key, counted down from the job's end. The same transaction stores how many items are
left, in ``n_items`` of the deleted job. So no portion scans dead rows that an earlier one left for vacuum, and any
sweep can continue where another stopped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database

#: At most so many jobs are handled in one transaction.
_JOBS = 100


def expire(connection: Connection, *, retention_seconds: int) -> int:
    """Hides jobs that ended longer ago than this, at most 100 at a time. Returns how many.

    Deliveries of test events, which belong to no job, are removed after the same time.
    """
    cursor = database.cursor(connection)
    cursor.execute(_FORGET_JOBLESS, {"retention": retention_seconds, "limit": _JOBS})
    cursor.execute(_EXPIRE, {"retention": retention_seconds, "limit": _JOBS})
    return cursor.rowcount


@dataclass(frozen=True, slots=True)
class _Portion:
    """Items ``start ≤ pos, index < end`` of a deleted job. With ``start`` 0 it is the job's last portion."""

    job_id: UUID
    start: int
    end: int


def purge(connection: Connection, *, items: int) -> int:
    """Removes the rows of at most ``items`` items of deleted jobs, and each job that has no item left.

    Skips jobs that another sweep is working on. Returns the number of rows removed, at least 1 for each job; 0 if there
    is nothing to do.
    """
    cursor = database.cursor(connection)
    # If a crash undoes this, a later sweep repeats it: the commit need not wait for the disk.
    cursor.execute("SET LOCAL synchronous_commit = off")
    cursor.execute(_TAKE, {"limit": _JOBS})
    portions = _portions(cursor.fetchall(), items)
    ranges = {
        "jobs": [portion.job_id for portion in portions],
        "starts": [portion.start for portion in portions],
        "ends": [portion.end for portion in portions],
    }
    gone = {"jobs": [portion.job_id for portion in portions if portion.start == 0]}
    n_rows = 0
    for statement in _REMOVE if portions else ():
        cursor.execute(statement, ranges)
        n_rows += cursor.rowcount
    cursor.execute(_KEEP_COUNT, ranges)
    for statement in _FORGET if gone["jobs"] else ():
        cursor.execute(statement, gone)
        n_rows += cursor.rowcount
    return max(n_rows, len(portions))  # of a job with a store, a portion may have no row


def _portions(jobs: Sequence[tuple[UUID, int]], items: int) -> list[_Portion]:
    """The last items of these jobs, ``items`` in all. ``jobs`` holds ids and how many items each has left."""
    portions = []
    for job_id, left in jobs:
        if items <= 0:
            break
        start = max(0, left - items)
        portions.append(_Portion(job_id, start, left))
        items -= max(1, left - start)
    return portions


_EXPIRE = """
UPDATE jobs SET deleted_at = clock_timestamp(), idempotency_key = NULL
WHERE id = ANY(ARRAY(SELECT id FROM jobs
                     WHERE finished_at < now() - make_interval(secs => %(retention)s)
                       AND finished_at IS NOT NULL AND deleted_at IS NULL
                     ORDER BY finished_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
"""

_FORGET_JOBLESS = """
DELETE FROM deliveries WHERE id = ANY(ARRAY(
  SELECT id FROM deliveries
  WHERE job_id IS NULL AND created_at < now() - make_interval(secs => %(retention)s)
  ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
"""

# A job whose usage is not counted yet waits for the sweep that counts it.
_TAKE = """
SELECT id, n_items FROM jobs WHERE deleted_at IS NOT NULL AND NOT usage_due
ORDER BY deleted_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""

_PARTS = "unnest(%(jobs)s::uuid[], %(starts)s::int[], %(ends)s::int[]) AS part (job_id, first, beyond)"

# Rows are deleted by their ctid: the inner query can only use the primary key, whatever the planner estimates. The rows
# of an ended job are not updated any more, so their ctids stay valid.
_REMOVE = tuple(
    f"""
DELETE FROM {table} WHERE ctid = ANY(ARRAY(
  SELECT found.place FROM {_PARTS} CROSS JOIN LATERAL (
    SELECT ctid AS place FROM {table}
    WHERE {table}.job_id = part.job_id AND {table}.{column} >= part.first AND {table}.{column} < part.beyond OFFSET 0
  ) found))
"""  # noqa: S608 - built from constants, like the next one
    for table, column in (("results", "index"), ("items", "pos"), ("shards", "lo"), ("source_blocks", "first"))
)

_KEEP_COUNT = f"UPDATE jobs SET n_items = part.first FROM {_PARTS} WHERE jobs.id = part.job_id AND part.first > 0"  # noqa: S608

_FORGET_TAGS = """
DELETE FROM job_tags WHERE ctid = ANY(ARRAY(
  SELECT found.place FROM jobs CROSS JOIN LATERAL unnest(jobs.tags) AS given (tag) CROSS JOIN LATERAL (
    SELECT ctid AS place FROM job_tags
    WHERE tenant_id = jobs.tenant_id AND tag = given.tag AND created_at = jobs.created_at AND job_id = jobs.id OFFSET 0
  ) found WHERE jobs.id = ANY(%(jobs)s)))
"""

_FORGET = (
    "DELETE FROM tallies WHERE job_id = ANY(%(jobs)s)",
    "DELETE FROM pushes WHERE job_id = ANY(%(jobs)s)",
    "DELETE FROM deliveries WHERE job_id = ANY(%(jobs)s)",
    "DELETE FROM batches WHERE id = ANY(%(jobs)s)",
    _FORGET_TAGS,
    "DELETE FROM jobs WHERE id = ANY(%(jobs)s)",
)
