"""How long a job's items are, and when they were settled, summed over its shards."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import NotFound

#: Shards that are read at most. A job of a million short items has 16,000; one of long items may have 300,000.
_MOST_SHARDS = 20_000
#: Into so many intervals the time of a job is cut.
_INTERVALS = 48


class LengthBand(NamedTuple):
    """The items of one band of lengths (``lengthwise.sharding.bucket_of``)."""

    bucket: int
    n_items: int


class SettledInterval(NamedTuple):
    """What was settled in one interval of a job's time; intervals in which nothing was are left out."""

    #: From 0, in order of time.
    place: int
    n_items: int
    n_batches: float


class JobShape(NamedTuple):
    """Of a job of very many shards, the figures are those of its first ones, and ``is_part`` is true."""

    lengths: list[LengthBand]
    settled: list[SettledInterval]
    begun_at: datetime
    #: The job's end, or the time at which this was read.
    until: datetime
    n_intervals: int
    is_part: bool


def read(connection: Connection, job_id: UUID, tenant_id: UUID) -> JobShape:
    """The shape of the tenant's job. Raises ``NotFound``."""
    cursor = database.cursor(connection)
    cursor.execute(_TIMES, {"job": job_id, "tenant": tenant_id})
    found = cursor.fetchone()
    if found is None:
        raise NotFound("there is no such job")
    begun_at, until = found
    given = {"job": job_id, "most": _MOST_SHARDS, "from": begun_at, "until": until, "intervals": _INTERVALS}
    lengths: list[LengthBand] = []
    settled: list[SettledInterval] = []
    rows = cursor.execute(_SHAPE, given).fetchall()
    for is_length, place, n_items, n_batches, _ in rows:
        if is_length:
            lengths.append(LengthBand(place, n_items))
        else:
            settled.append(SettledInterval(place, n_items, n_batches))
    is_part = bool(rows) and rows[0][4] >= _MOST_SHARDS
    return JobShape(lengths, settled, begun_at, until, _INTERVALS, is_part)


_TIMES = """
SELECT created_at, coalesce(finished_at, now()) FROM jobs
WHERE id = %(job)s AND tenant_id = %(tenant)s AND deleted_at IS NULL
"""

# The shards are read once, in order of the index over (job_id, lo). Items that were refused have no length.
_SHAPE = """
WITH part AS MATERIALIZED (
  SELECT bucket, hi - lo AS n_items, n_tokens = 0 AND n_failed = hi - lo AS is_refused, n_batches,
         CASE WHEN state = 'done' THEN settled_at END AS settled_at FROM shards
  WHERE job_id = %(job)s ORDER BY lo LIMIT %(most)s
)
SELECT true, bucket::int AS place, sum(n_items)::bigint, 0::float8, (SELECT count(*) FROM part)
FROM part WHERE NOT is_refused GROUP BY bucket
UNION ALL
SELECT false, place, sum(n_items)::bigint, sum(n_batches)::float8, (SELECT count(*) FROM part) FROM (
  SELECT n_items, n_batches,
         least(%(intervals)s - 1, greatest(0, floor(
           %(intervals)s * extract(epoch FROM settled_at - %(from)s::timestamptz)
           / greatest(0.001, extract(epoch FROM %(until)s::timestamptz - %(from)s::timestamptz)))))::int AS place
  FROM part WHERE settled_at IS NOT NULL
) timed GROUP BY place
ORDER BY 1, 2
"""
