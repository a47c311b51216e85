"""What waits and runs, over all tenants, in one statement: the gauges of ``/metrics``.

It reads each open job once, the tallies of large ones, the leased shards and the workers, which are few. It reads no
waiting shard.
So it costs the same at any number of items, and about 70 ms at 100,000 open jobs.
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
class LedgerGauges:
    """What the ledger holds at one moment."""

    work: list[WorkGauge]
    n_jobs: int
    #: The age of the oldest open job of each priority that has any, by the priority that it was given.
    oldest_seconds: dict[Priority, float]
    #: Open jobs with less than a tenth of the time between submission and deadline left.
    n_near_deadline: int
    #: Until the nearest deadline of an open job; None if none has a deadline.
    deadline_seconds: float | None
    #: For how long the most overdue webhook has been due; 0 if none is.
    webhook_seconds: float
    #: The processes of each role and state that has any.
    workers: dict[tuple[WorkerRole, WorkerState], int]


def read(connection: Connection, *, lost_seconds: float, by_tenant: bool = False) -> LedgerGauges:
    """The gauges of this moment, if a worker is lost that was not seen for ``lost_seconds``.

    A job of few shards has no tallies. What is done of such jobs is subtracted for the oldest of them only; each of the
    others counts whole until it ends.
    """
    asked = {"by_tenant": by_tenant, "exact": _EXACT_JOBS, "lost": lost_seconds}
    found = database.cursor(connection).execute(_GAUGES, asked).fetchone()
    assert found is not None  # noqa: S101 - a SELECT without FROM
    work, n_jobs, oldest, n_near_deadline, deadline_seconds, webhook_seconds, processes = found
    return LedgerGauges(
        [WorkGauge(tenant and UUID(tenant), *more) for tenant, *more in work or ()],
        n_jobs,
        {Priority(int(priority)): seconds for priority, seconds in (oldest or {}).items()},
        n_near_deadline,
        deadline_seconds,
        webhook_seconds,
        {(WorkerRole(role), WorkerState(state)): count for role, state, count in processes or ()},
    )


#: So many open jobs without tallies are counted exactly, at up to 32 shards each.
_EXACT_JOBS = 200

# - The open jobs are summed up while they are read, and then read for those with tallies and for the oldest: to keep
#   100,000 rows would take longer, on a disk.
# - The comparison with -infinity is always true. With OFFSET 0, it lets the planner use the index of leased shards
#   whatever it estimates.
_GAUGES = """
WITH open AS MATERIALIZED (
  SELECT CASE WHEN %(by_tenant)s THEN tenant_id END AS tenant_id, kind, model, priority, count(*) AS n_jobs,
         sum(n_items)::bigint AS n_items, sum(n_tokens)::bigint AS n_tokens, min(created_at) AS created_at,
         min(deadline_at) AS deadline_at,
         count(*) FILTER (WHERE now() > deadline_at - (deadline_at - created_at) / 10) AS n_near_deadline
  FROM jobs WHERE state = 'open' GROUP BY 1, 2, 3, 4
), parts AS (
  SELECT tenant_id, kind, model, n_items AS n_open, 0::bigint AS n_running, n_tokens FROM open
  UNION ALL
  SELECT CASE WHEN %(by_tenant)s THEN tenant_id END, kind, model, -done.n_items, 0, -done.n_tokens
  FROM jobs CROSS JOIN LATERAL (
    SELECT coalesce(sum(n_done), 0)::bigint AS n_items, coalesce(sum(n_input), 0)::bigint AS n_tokens
    FROM tallies WHERE tallies.job_id = jobs.id
  ) done WHERE jobs.state = 'open' AND jobs.is_tallied
  UNION ALL
  SELECT CASE WHEN %(by_tenant)s THEN tenant_id END, kind, model, -done.n_items, 0, -done.n_tokens
  FROM (
    SELECT id, tenant_id, kind, model FROM jobs WHERE state = 'open' AND NOT is_tallied
    ORDER BY created_at, id LIMIT %(exact)s
  ) few CROSS JOIN LATERAL (
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
), oldest AS (
  SELECT priority, extract(epoch FROM now() - min(created_at))::float8 AS seconds FROM open GROUP BY priority
), processes AS (
  SELECT role, CASE WHEN seen_at < now() - make_interval(secs => %(lost)s) THEN 'lost' ELSE state END AS state,
         count(*) AS n
  FROM workers GROUP BY 1, 2
)
SELECT
  (SELECT jsonb_agg(jsonb_build_array(tenant_id, kind, model, n_open, n_running, n_tokens)) FROM work),
  (SELECT coalesce(sum(n_jobs), 0)::bigint FROM open),
  (SELECT jsonb_object_agg(priority, seconds) FROM oldest),
  (SELECT coalesce(sum(n_near_deadline), 0)::bigint FROM open),
  (SELECT extract(epoch FROM min(deadline_at) - now())::float8 FROM open),
  coalesce((SELECT extract(epoch FROM now() - next_attempt_at)::float8 FROM deliveries
            WHERE state = 'pending' AND next_attempt_at <= now() ORDER BY next_attempt_at LIMIT 1), 0),
  (SELECT jsonb_agg(jsonb_build_array(role, state, n)) FROM processes)
"""
