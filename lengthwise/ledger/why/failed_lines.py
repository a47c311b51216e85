"""The result lines of a job's failed items, as many as can be read quickly.

No index finds failed items, because most jobs have none: the shards say where they are.
"""

from typing import NamedTuple

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.ledger.job_figures import JobFigures
from lengthwise.ledger.store import by_store

#: A job of a million items has some 17,000 shards of the usual size. Of those with failures so many are read, each of
#: at most 64 items, and of their lines, which may have 16 KiB of metadata each.
_SHARDS = 20_000
_FAILED_SHARDS = 64
_LINES = 500


class FailedLine(NamedTuple):
    """The line of a failed item."""

    index: int  # type: ignore[assignment]  # hides the method of tuples, which is not used here
    line: bytes


def read_some(connection: Connection, job: JobFigures) -> list[FailedLine]:
    """At most 500 of the job's failed lines, in order of their index; none if there are none, or they were deleted."""
    if not job.n_failed:
        return []
    cursor = database.cursor(connection, binary=True)
    limits = {"shards": _SHARDS, "failed_shards": _FAILED_SHARDS, "lines": _LINES}
    cursor.execute(_FAILED_LINES[job.store], {"job": job.id} | limits)
    return sorted(map(FailedLine._make, cursor.fetchall()))


# OFFSET 0 keeps the planner from joining all items of the job.
_FAILED_LINES = by_store("""
SELECT result.index, result.result
FROM (
  SELECT lo, hi FROM (
    SELECT lo, hi, n_failed FROM shards WHERE job_id = %(job)s ORDER BY lo LIMIT %(shards)s
  ) looked_at WHERE n_failed > 0 ORDER BY lo LIMIT %(failed_shards)s
) failed
CROSS JOIN LATERAL (
  SELECT index FROM {items} WHERE {items}.job_id = %(job)s AND pos >= failed.lo AND pos < failed.hi OFFSET 0
) item
CROSS JOIN LATERAL (
  SELECT index, result FROM {results}
  WHERE {results}.job_id = %(job)s AND {results}.index = item.index AND status = 'failed' OFFSET 0
) result
LIMIT %(lines)s
""")
