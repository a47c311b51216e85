"""What waits and runs, over all tenants: the gauges of ``/metrics``.

Nothing here reads a waiting shard, so the cost is the same at any number of items. ``read`` takes what stands first in
some indexes, so it costs the same at any number of jobs too. ``sum_open`` reads each open job once, and its cost grows
with their number.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.states import Priority, WorkerRole, WorkerState


@dataclass(frozen=True, slots=True)
class WorkGauge:
    """The open work of one kind and model, and of one tenant if it was asked for by tenants."""

    tenant_id: UUID | None
    kind: str
    model: str
    #: Items and input tokens that wait or run, and the items among them that run.
    n_open: int
    n_running: int
    n_tokens: int


@dataclass(frozen=True, slots=True)
class OpenSums:
    """Sums over all open jobs at one moment."""

    work: list[WorkGauge]
    n_jobs: int
    #: Open jobs with less than a tenth of the time between submission and deadline left.
    n_near_deadline: int


@dataclass(frozen=True, slots=True)
class LedgerGauges:
    """What else the ledger holds at one moment."""

    #: The age of the oldest open job of each priority that has any, by the priority that it was given.
    oldest_seconds: dict[Priority, float]
    #: Until the nearest deadline of an open job; None if none has a deadline.
    deadline_seconds: float | None
    #: For how long the most overdue webhook has been due; 0 if none is.
    webhook_seconds: float
    #: The processes of each role and state that has any.
    workers: dict[tuple[WorkerRole, WorkerState], int]


def sum_open(connection: Connection, *, by_tenant: bool = False) -> OpenSums:
    """The sums of this moment.

    A job of few shards has no tallies. What is done of such jobs is subtracted for the oldest of each priority and
    model only; each of the others counts whole until it ends.
    """
    cursor = database.cursor(connection).execute(_SUMS, {"by_tenant": by_tenant, "exact": _EXACT_JOBS})
    [(work, n_jobs, n_near_deadline)] = cursor.fetchall()
    return OpenSums(
        [WorkGauge(tenant and UUID(tenant), *more) for tenant, *more in work or ()], n_jobs, n_near_deadline
    )


def read(connection: Connection, *, lost_seconds: float) -> LedgerGauges:
    """The other gauges of this moment, if a worker is lost that was not seen for ``lost_seconds``."""
    cursor = database.cursor(connection).execute(_GAUGES, {"lost": lost_seconds})
    [(oldest, deadline_seconds, webhook_seconds, processes)] = cursor.fetchall()
    return LedgerGauges(
        {Priority(int(priority)): seconds for priority, seconds in (oldest or {}).items()},
        deadline_seconds,
        webhook_seconds,
        {(WorkerRole(role), WorkerState(state)): count for role, state, count in processes or ()},
    )


#: So many open jobs without tallies are counted exactly of each priority and model, at up to 32 shards each.
_EXACT_JOBS = 100

# A loose index scan: it probes the index once for each pair of priority and model, and finds its oldest job.
_PAIRS = """
pairs AS (
  (SELECT priority, model, created_at FROM jobs WHERE state = 'open' ORDER BY priority, model, created_at LIMIT 1)
  UNION ALL
  SELECT next.priority, next.model, next.created_at FROM pairs CROSS JOIN LATERAL (
    SELECT jobs.priority, jobs.model, jobs.created_at FROM jobs
    WHERE state = 'open' AND (jobs.priority, jobs.model) > (pairs.priority, pairs.model)
    ORDER BY jobs.priority, jobs.model, jobs.created_at LIMIT 1
  ) next
)
"""

# - The open jobs are summed up while they are read: to keep 100,000 rows would take longer, on a disk.
# - The sum of bigints is a numeric, with which each subtraction would take longer.
# - The comparison with -infinity is always true. With OFFSET 0, it lets the planner use the index of leased shards
#   whatever it estimates.
_SUMS = f"""
WITH RECURSIVE {_PAIRS}, open AS MATERIALIZED (
  SELECT CASE WHEN %(by_tenant)s THEN tenant_id END AS tenant_id, kind, model, count(*) AS n_jobs,
         sum(n_items - CASE WHEN is_tallied THEN (
           SELECT coalesce(sum(n_done), 0) FROM tallies WHERE tallies.job_id = jobs.id) ELSE 0 END)::bigint AS n_items,
         sum(n_tokens - CASE WHEN is_tallied THEN (
           SELECT coalesce(sum(n_input), 0)::bigint FROM tallies WHERE tallies.job_id = jobs.id)
           ELSE 0 END)::bigint AS n_tokens,
         count(*) FILTER (WHERE now() > deadline_at - (deadline_at - created_at) / 10) AS n_near_deadline
  FROM jobs WHERE state = 'open' GROUP BY 1, 2, 3
), few AS (
  SELECT oldest.* FROM pairs CROSS JOIN LATERAL (
    SELECT id, tenant_id, kind, jobs.model FROM jobs
    WHERE state = 'open' AND NOT is_tallied AND jobs.priority = pairs.priority AND jobs.model = pairs.model
    ORDER BY jobs.created_at LIMIT %(exact)s
  ) oldest
), parts AS (
  SELECT tenant_id, kind, model, n_items AS n_open, 0::bigint AS n_running, n_tokens FROM open
  UNION ALL
  SELECT CASE WHEN %(by_tenant)s THEN tenant_id END, kind, model, -done.n_items, 0, -done.n_tokens
  FROM few CROSS JOIN LATERAL (
    SELECT coalesce(sum(hi - lo), 0)::bigint AS n_items, coalesce(sum(shards.n_tokens), 0)::bigint AS n_tokens
    FROM shards WHERE shards.job_id = few.id AND shards.state = 'done'
  ) done
  UNION ALL
  SELECT CASE WHEN %(by_tenant)s THEN jobs.tenant_id END, jobs.kind, jobs.model, 0, hi - lo, 0
  FROM (
    SELECT job_id, lo, hi FROM shards WHERE state = 'leased' AND lease_until > '-infinity' OFFSET 0
  ) leased JOIN jobs ON jobs.id = leased.job_id WHERE jobs.state = 'open'
), work AS (
  SELECT tenant_id, kind, model, sum(n_open) AS n_open, sum(n_running) AS n_running, sum(n_tokens) AS n_tokens
  FROM parts GROUP BY tenant_id, kind, model
)
SELECT
  (SELECT jsonb_agg(jsonb_build_array(tenant_id, kind, model, n_open, n_running, n_tokens)) FROM work),
  (SELECT coalesce(sum(n_jobs), 0)::bigint FROM open),
  (SELECT coalesce(sum(n_near_deadline), 0)::bigint FROM open)
"""  # noqa: S608 - built from constants, like the next one

_GAUGES = f"""
WITH RECURSIVE {_PAIRS}, oldest AS (
  SELECT priority, extract(epoch FROM now() - min(created_at))::float8 AS seconds FROM pairs GROUP BY priority
), processes AS (
  SELECT role, CASE WHEN seen_at < now() - make_interval(secs => %(lost)s) THEN 'lost' ELSE state END AS state,
         count(*) AS n
  FROM workers GROUP BY 1, 2
)
SELECT
  (SELECT jsonb_object_agg(priority, seconds) FROM oldest),
  (SELECT extract(epoch FROM deadline_at - now())::float8 FROM jobs
   WHERE state = 'open' AND deadline_at IS NOT NULL ORDER BY deadline_at LIMIT 1),
  coalesce((SELECT extract(epoch FROM now() - next_attempt_at)::float8 FROM deliveries
            WHERE state = 'pending' AND next_attempt_at <= now() ORDER BY next_attempt_at LIMIT 1), 0),
  (SELECT jsonb_agg(jsonb_build_array(role, state, n)) FROM processes)
"""  # noqa: S608
