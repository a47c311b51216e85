"""How much waits or runs, summed over open jobs. A counter would be a row that every submission changes."""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import TooBusy


class PendingWork(NamedTuple):
    """A tenant's input tokens that wait or run, its open jobs, and its own limits of both; None if it has none."""

    tokens: int
    jobs: int
    max_tokens: int | None
    max_jobs: int | None


class CountedJobs(NamedTuple):
    """How many open jobs a tenant has; with ``at_least``, it has more."""

    n_open: int
    at_least: bool


def sum_by_tenant(connection: Connection) -> dict[UUID, PendingWork]:
    """Every tenant that has open work or its own limit of tokens.

    A job of few shards counts whole until it ends. Takes about 30 ms for 100,000 open jobs.
    """
    cursor = database.cursor(connection)
    cursor.execute(_BY_TENANT)
    return {tenant: PendingWork(*figures) for tenant, *figures in cursor.fetchall()}


def check_open_job_limit(connection: Connection, tenant_id: UUID, limit: int) -> None:
    """Raises ``TooBusy`` if the tenant has ``limit`` open jobs or more."""
    found = database.cursor(connection).execute(_N_OPEN, {"tenant": tenant_id, "most": limit}).fetchone()
    if found and found[0] >= limit:
        raise TooBusy(f"you have {limit} or more open jobs, which is the limit", retry_after=_JOB_SECONDS)


def count_open_jobs(connection: Connection, limits: Mapping[UUID, int | None]) -> dict[UUID, CountedJobs]:
    """The open jobs of each tenant, as ``check_open_job_limit`` counts them; up to its limit, or to a thousand.

    ``limits``: the limit of each tenant; None if it has none.
    """
    mosts = [max(_FEW_JOBS, limit or 0) for limit in limits.values()]
    cursor = database.cursor(connection)
    cursor.execute(_N_OPEN_OF_EACH, {"tenants": list(limits), "mosts": mosts})
    return {tenant: CountedJobs(min(n_open, most), n_open > most) for tenant, most, n_open in cursor.fetchall()}


#: The Retry-After for a tenant at its limit of open jobs: by then a job may have ended.
_JOB_SECONDS = 5

#: A tenant's open jobs are counted up to this number, whatever its limit is.
_FEW_JOBS = 1_000

_COUNT = "SELECT count(*) FROM (SELECT FROM jobs WHERE tenant_id = {tenant} AND state = 'open' LIMIT {most}) open"

_N_OPEN = _COUNT.format(tenant="%(tenant)s", most="%(most)s")

_N_OPEN_OF_EACH = f"""
SELECT wanted.tenant, wanted.most, ({_COUNT.format(tenant="wanted.tenant", most="wanted.most + 1")})
FROM unnest(%(tenants)s::uuid[], %(mosts)s::bigint[]) AS wanted (tenant, most)
"""  # noqa: S608 - built from a constant

# Reads open jobs by an index that holds all columns, and the tallies of large ones. It reads no shards. The sum of
# bigints is a numeric, with which each subtraction would take longer.
_BY_TENANT = """
SELECT tenants.id, coalesce(open.tokens, 0)::bigint, coalesce(open.jobs, 0), tenants.max_pending_tokens,
       tenants.max_open_jobs
FROM tenants LEFT JOIN (
  SELECT tenant_id, count(*) AS jobs, sum(n_tokens - CASE WHEN is_tallied THEN (
           SELECT coalesce(sum(n_input), 0)::bigint FROM tallies WHERE tallies.job_id = jobs.id) ELSE 0 END) AS tokens
  FROM jobs WHERE state = 'open' GROUP BY tenant_id
) open ON open.tenant_id = tenants.id
WHERE open.jobs > 0 OR tenants.max_pending_tokens IS NOT NULL
"""
