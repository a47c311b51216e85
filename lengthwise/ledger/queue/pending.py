"""How much waits or runs, summed over open shards and jobs. A counter would be a row that every submission changes."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import TooBusy


@dataclass(frozen=True, slots=True)
class PendingTokens:
    """A tenant's input tokens that wait or run, and its own limit; None if it has none."""

    tokens: int
    limit: int | None


def sum_by_tenant(connection: Connection) -> dict[UUID, PendingTokens]:
    """Every tenant that has open work or a limit of its own. Takes about half a second per million open shards."""
    cursor = database.cursor(connection)
    cursor.execute(_BY_TENANT)
    return {tenant: PendingTokens(tokens, limit) for tenant, tokens, limit in cursor.fetchall()}


def check_open_job_limit(connection: Connection, tenant_id: UUID, limit: int) -> None:
    """Raises ``TooBusy`` if the tenant has ``limit`` open jobs or more."""
    found = database.cursor(connection).execute(_N_OPEN, {"tenant": tenant_id, "most": limit}).fetchone()
    if found and found[0] >= limit:
        raise TooBusy(f"you have {limit} or more open jobs, which is the limit", retry_after=_JOB_SECONDS)


#: The Retry-After for a tenant at its limit of open jobs: by then a job may have ended.
_JOB_SECONDS = 5

_N_OPEN = """
SELECT count(*) FROM (SELECT FROM jobs WHERE tenant_id = %(tenant)s AND state = 'open' LIMIT %(most)s) open
"""

# OFFSET 0 makes the planner use the partial index of open shards, job by job, instead of joining with all shards. The
# cost does not depend on how many shards are done.
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
