"""What time alone must mend: locks of the frozen, leases that ran out, jobs whose end was missed, lost bells."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database


def end_frozen_sessions(connection: Connection, *, seconds: float) -> int:
    """Ends sessions whose transaction has waited for its client this long: a process that is frozen, or a machine that
    is gone, would otherwise keep its locks, and what it locked is passed over by all others. Returns how many.
    """
    cursor = database.cursor(connection)
    cursor.execute(_END_FROZEN, {"seconds": seconds, "name": database.APPLICATION})
    return len(cursor.fetchall())


def expire_leases(connection: Connection, *, max_deaths: int) -> int:
    """Makes the shards of dead workers claimable again, each cut in two: should one of its items have been what killed
    the worker, it will stand alone after log2 of the shard's items deaths. Single items over which ``max_deaths``
    workers died are left to ``claim_condemned``. Returns how many shards were taken back.
    """
    cursor = database.cursor(connection)
    cursor.execute(_EXPIRE_LEASES, {"max_deaths": max_deaths})
    return cursor.rowcount


def find_finished_jobs(connection: Connection) -> list[UUID]:
    """Open jobs without an open shard: their last two shards were settled in the same instant."""
    cursor = database.cursor(connection)
    cursor.execute(_FINISHED_JOBS)
    return [row[0] for row in cursor.fetchall()]


class WaitingPool(NamedTuple):
    """A pool with work that may be claimed now, and what is the first of it."""

    name: str
    priority: int
    #: Whether a worker died over that.
    is_suspect: bool


def find_waiting_pools(connection: Connection) -> list[WaitingPool]:
    """By name."""
    cursor = database.cursor(connection)
    cursor.execute(_WAITING_POOLS)
    return [WaitingPool(*row) for row in cursor.fetchall()]


def has_due_deliveries(connection: Connection) -> bool:
    """Whether a webhook is due, or results wait to be made into one."""
    cursor = database.cursor(connection)
    cursor.execute(_DELIVERIES_DUE)
    return cursor.fetchone() is not None


# Idle between two statements, in the middle of a COPY, or with an answer that nobody takes: idle_in_transaction_timeout
# would see the first alone. Another role's sessions are not ours to end.
_END_FROZEN = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name = %(name)s
  AND state IN ('active', 'idle in transaction', 'idle in transaction (aborted)') AND wait_event_type = 'Client'
  AND state_change < clock_timestamp() - make_interval(secs => %(seconds)s)
"""

_EXPIRE_LEASES = """
WITH lost AS MATERIALIZED (
  SELECT id, job_id, pool, bucket, lo, hi, n_tokens, priority, vkey, attempts, deaths, is_followed,
         (lo + hi) / 2 AS middle
  FROM shards WHERE state = 'leased' AND lease_until < now() AND (hi - lo > 1 OR deaths < %(max_deaths)s)
  ORDER BY lease_until LIMIT 1000 FOR UPDATE SKIP LOCKED
), halves AS MATERIALIZED (
  SELECT lost.*, first.n_tokens AS first_tokens FROM lost CROSS JOIN LATERAL (
    SELECT sum(items.n_tokens)::int AS n_tokens FROM items
    WHERE items.job_id = lost.job_id AND items.pos >= lost.lo AND items.pos < lost.middle
  ) first WHERE lost.hi - lost.lo > 1
), second AS (
  INSERT INTO shards (job_id, pool, bucket, lo, hi, n_tokens, priority, vkey, state, attempts, deaths, is_followed)
  SELECT job_id, pool, bucket, middle, hi, n_tokens - first_tokens, priority, vkey, 'ready', attempts, deaths,
         is_followed
  FROM halves
)
UPDATE shards SET state = 'ready', token = NULL, lease_until = NULL,
                  hi = coalesce(halves.middle, shards.hi), n_tokens = coalesce(halves.first_tokens, shards.n_tokens)
FROM lost LEFT JOIN halves USING (id) WHERE shards.id = lost.id
"""

_FINISHED_JOBS = """
SELECT id FROM jobs WHERE state = 'open'
  AND NOT EXISTS (SELECT FROM shards WHERE shards.job_id = jobs.id AND shards.state IN ('ready', 'leased'))
LIMIT 100
"""

# A loose index scan: one probe a pool instead of one row a waiting shard.
_WAITING_POOLS = """
WITH RECURSIVE pools AS (
  (SELECT pool FROM shards WHERE state = 'ready' ORDER BY pool LIMIT 1)
  UNION ALL
  SELECT (SELECT shards.pool FROM shards WHERE state = 'ready' AND shards.pool > pools.pool
          ORDER BY shards.pool LIMIT 1)
  FROM pools WHERE pools.pool IS NOT NULL
)
SELECT pool, head.priority, head.is_suspect FROM pools CROSS JOIN LATERAL (
  SELECT priority, deaths > 0 AS is_suspect FROM shards
  WHERE shards.pool = pools.pool AND state = 'ready' AND hi > lo AND not_before <= now()
  ORDER BY priority, vkey, id LIMIT 1
) head
ORDER BY pool
"""

# By their indexes, whatever the planner thinks how many there are.
_DELIVERIES_DUE = """
SELECT 1 WHERE (SELECT id FROM pushes ORDER BY id LIMIT 1) IS NOT NULL
            OR (SELECT id FROM deliveries WHERE state = 'pending' AND next_attempt_at <= now()
                ORDER BY next_attempt_at LIMIT 1) IS NOT NULL
"""
