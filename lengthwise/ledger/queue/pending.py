"""How much waits or runs, summed over open jobs. A counter would be a row that every submission changes."""

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
    """Every tenant that has open work or a limit of its own.

    A job of few shards counts whole until it ends. Takes about 30 ms for 100,000 open jobs.
    """
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

# Reads open jobs by an index that holds all columns, and the tallies of large ones. It reads no shards. The sum of
# bigints is a numeric, with which each subtraction would take longer.
_BY_TENANT = """
SELECT tenants.id, coalesce(open.tokens, 0)::bigint, tenants.max_pending_tokens
FROM tenants LEFT JOIN (
  SELECT tenant_id, sum(n_tokens - CASE WHEN is_tallied THEN (
           SELECT coalesce(sum(n_input), 0)::bigint FROM tallies WHERE tallies.job_id = jobs.id) ELSE 0 END) AS tokens
  FROM jobs WHERE state = 'open' GROUP BY tenant_id
) open ON open.tenant_id = tenants.id
WHERE open.tokens > 0 OR tenants.max_pending_tokens IS NOT NULL
"""
