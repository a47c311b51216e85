"""How much waits or runs, summed over the open shards: no counter that every submission would have to change."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import TooBusy


@dataclass(frozen=True, slots=True)
class PendingTokens:
    """One tenant's input tokens that wait or run, and its own limit, if it has one."""

    tokens: int
    limit: int | None


def sum_by_tenant(connection: Connection) -> dict[UUID, PendingTokens]:
    """Every tenant that has open work or a limit of its own. Takes about half a second a million open shards."""
    cursor = database.cursor(connection)
    cursor.execute(_BY_TENANT)
    return {tenant: PendingTokens(tokens, limit) for tenant, tokens, limit in cursor.fetchall()}


def check_open_job_limit(connection: Connection, tenant_id: UUID, most: int) -> None:
    """Raises ``TooBusy`` if the tenant has so many open jobs."""
    found = database.cursor(connection).execute(_N_OPEN, {"tenant": tenant_id, "most": most}).fetchone()
    if found and found[0] >= most:
        raise TooBusy(f"{most} or more of your jobs are open, which is the limit", retry_after=_JOB_SECONDS)


#: When a job may have ended, for who waits for room.
_JOB_SECONDS = 5

_N_OPEN = """
SELECT count(*) FROM (SELECT FROM jobs WHERE tenant_id = %(tenant)s AND state = 'open' LIMIT %(most)s) open
"""

# Job by job, by the partial index of open shards, however many shards are done: OFFSET 0 keeps the planner from joining
# with all of them.
_BY_TENANT = """
SELECT tenants.id, coalesce(open.tokens, 0)::bigint, tenants.max_pending_tokens
FROM tenants LEFT JOIN (
  SELECT jobs.tenant_id, sum(of_job.tokens) AS tokens
  FROM jobs CROSS JOIN LATERAL (
    SELECT sum(n_tokens) AS tokens FROM shards
    WHERE shards.job_id = jobs.id AND shards.state IN ('ready', 'leased') OFFSET 0
  ) of_job
  WHERE jobs.state = 'open' GROUP BY jobs.tenant_id
) open ON open.tenant_id = tenants.id
WHERE open.tokens > 0 OR tenants.max_pending_tokens IS NOT NULL
"""
