"""What waits or runs, by priority and model. The cost has a bound, so that a page may show it at any number of jobs."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database

#: The most pairs of priority and model.
_PAIRS = 50


class OpenJobs(NamedTuple):
    """The open jobs of one priority and model. A job of few shards counts whole until it ends."""

    priority: int
    model: str
    n_jobs: int
    n_items: int
    n_tokens: int
    oldest_at: datetime
    #: Whether there are more: then the sums are those of the oldest jobs, or of any if only one tenant's are counted.
    is_capped: bool


def by_priority(connection: Connection, tenant_id: UUID | None, *, most: int = 1_000) -> list[OpenJobs]:
    """The open work of one tenant, or of all of them; ordered by priority and model.

    Of each pair at most ``most`` jobs are counted, of one tenant at most ``most`` in all.
    """
    cursor = database.cursor(connection)
    given = {"tenant": tenant_id, "most": most, "pairs": _PAIRS}
    cursor.execute(_OF_ALL if tenant_id is None else _OF_TENANT, given)
    return [OpenJobs(*row) for row in cursor.fetchall()]


# Items and tokens of a large job that are done are in its tallies.
_LEFT = """
n_items - CASE WHEN is_tallied THEN (SELECT coalesce(sum(n_done), 0) FROM tallies WHERE tallies.job_id = jobs.id)
               ELSE 0 END AS n_items,
n_tokens - CASE WHEN is_tallied
                THEN (SELECT coalesce(sum(n_input), 0)::bigint FROM tallies WHERE tallies.job_id = jobs.id)
                ELSE 0 END AS n_tokens
"""

_SUMS = """
count(*), coalesce(sum(n_items), 0)::bigint, coalesce(sum(n_tokens), 0)::bigint, min(created_at)
"""

# A loose index scan: it probes the index once for each pair of priority and model.
_OF_ALL = f"""
WITH RECURSIVE pairs AS (
  (SELECT priority, model, 1 AS place FROM jobs WHERE state = 'open' ORDER BY priority, model LIMIT 1)
  UNION ALL
  SELECT next.priority, next.model, pairs.place + 1 FROM pairs CROSS JOIN LATERAL (
    SELECT jobs.priority, jobs.model FROM jobs
    WHERE state = 'open' AND (jobs.priority, jobs.model) > (pairs.priority, pairs.model)
    ORDER BY jobs.priority, jobs.model LIMIT 1
  ) next WHERE pairs.place < %(pairs)s
)
SELECT pairs.priority, pairs.model, open.*, open.count >= %(most)s
FROM pairs CROSS JOIN LATERAL (
  SELECT {_SUMS} FROM (
    SELECT created_at, {_LEFT} FROM jobs
    WHERE state = 'open' AND jobs.priority = pairs.priority AND jobs.model = pairs.model
    ORDER BY jobs.created_at LIMIT %(most)s
  ) oldest
) open
ORDER BY pairs.priority, pairs.model
"""  # noqa: S608 - built from constants, like the next one

_OF_TENANT = f"""
WITH open AS MATERIALIZED (
  SELECT priority, model, created_at, {_LEFT} FROM jobs WHERE tenant_id = %(tenant)s AND state = 'open' LIMIT %(most)s
)
SELECT priority, model, {_SUMS}, (SELECT count(*) FROM open) >= %(most)s
FROM open GROUP BY priority, model ORDER BY priority, model LIMIT %(pairs)s
"""  # noqa: S608
