"""Finds and mends what no other step will: locks of frozen processes, expired leases, missed job ends, lost bells."""

from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.ledger.store import by_store


def end_frozen_sessions(connection: Connection, *, seconds: float) -> int:
    """Ends sessions whose transaction has waited for its client for this long. Returns how many.

    The client is frozen, or its machine is gone. It would keep its locks, and all others would skip what it locked.
    """
    cursor = database.cursor(connection)
    cursor.execute(_END_FROZEN, {"seconds": seconds, "name": database.APPLICATION})
    return len(cursor.fetchall())


def expire_leases(connection: Connection, *, max_deaths: int) -> list[tuple[int, UUID]]:
    """Makes the shards of dead workers claimable again, each cut in two. Returns these shards and their jobs.

    They had their turn, so they come before all that waits with their priority.
    If one item kills its worker, halving isolates it: in a shard of n items it stands alone after log2(n) deaths.
    Single items over which ``max_deaths`` workers died are left to ``claim_condemned``.
    """
    cursor = database.cursor(connection)
    expired: list[tuple[int, UUID]] = []
    for (store,) in cursor.execute(_STORES_OF_EXPIRED).fetchall():
        cursor.execute(_EXPIRE_LEASES[store], {"store": store, "max_deaths": max_deaths})
        expired += cursor.fetchall()
    return expired


class CheckedJobs(NamedTuple):
    """Open jobs without an open shard among those that were checked, and the last job that was."""

    finished: list[UUID]
    #: None if all jobs after ``after`` were checked.
    last: UUID | None


def find_finished_jobs(connection: Connection, *, after: UUID | None = None, limit: int = 1_000) -> CheckedJobs:
    """Checks the next ``limit`` open jobs by id for a missed end. Nothing else misses one, so there is no hurry."""
    cursor = database.cursor(connection)
    cursor.execute(_FINISHED_JOBS, {"after": after or _FIRST, "limit": limit})
    checked = cursor.fetchall()
    return CheckedJobs(
        [job for job, is_open in checked if not is_open], checked[-1][0] if len(checked) == limit else None
    )


class WaitingPool(NamedTuple):
    """A pool with work that may be claimed now, and its first shard's priority."""

    name: str
    priority: int
    #: Whether that first shard is a suspect, that is whether a worker died over it.
    is_suspect: bool


def find_waiting_pools(connection: Connection) -> list[WaitingPool]:
    """Pools with work that may be claimed now, ordered by name."""
    cursor = database.cursor(connection)
    cursor.execute(_WAITING_POOLS)
    return [WaitingPool(*row) for row in cursor.fetchall()]


def has_due_deliveries(connection: Connection) -> bool:
    """Whether a webhook is due, or settled results wait to be made into one."""
    cursor = database.cursor(connection)
    cursor.execute(_DELIVERIES_DUE)
    return cursor.fetchone() is not None


#: No job has this id, or one before it.
_FIRST = UUID(int=0)

# The session waits between two statements, in the middle of a COPY, or to send an answer that its client does not read.
# The setting idle_in_transaction_session_timeout would only catch the first. Other roles' sessions are not ended.
_END_FROZEN = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name = %(name)s
  AND state IN ('active', 'idle in transaction', 'idle in transaction (aborted)') AND wait_event_type = 'Client'
  AND state_change < clock_timestamp() - make_interval(secs => %(seconds)s)
"""

_STORES_OF_EXPIRED = "SELECT DISTINCT store FROM shards WHERE state = 'leased' AND lease_until < now() ORDER BY store"

_EXPIRE_LEASES = by_store("""
WITH lost AS MATERIALIZED (
  SELECT id, job_id, pool, bucket, lo, hi, n_tokens, priority, vkey, attempts, deaths, is_followed, is_tallied,
         store, (lo + hi) / 2 AS middle
  FROM shards
  WHERE state = 'leased' AND lease_until < now() AND (hi - lo > 1 OR deaths < %(max_deaths)s) AND store = %(store)s
  ORDER BY lease_until LIMIT 1000 FOR UPDATE SKIP LOCKED
), first AS MATERIALIZED (
  SELECT pool, priority, (
    SELECT shards.vkey FROM shards
    WHERE shards.pool = queue.pool AND shards.priority = queue.priority AND state = 'ready' AND hi > lo
      AND deaths = 0
    ORDER BY shards.priority, shards.vkey, id LIMIT 1
  ) AS vkey FROM (SELECT DISTINCT pool, priority FROM lost) queue
), turns AS MATERIALIZED (
  SELECT lost.id, least(min(lost.vkey) OVER (PARTITION BY pool, priority), first.vkey - 1) AS vkey
  FROM lost JOIN first USING (pool, priority)
), halves AS MATERIALIZED (
  SELECT lost.*, first.n_tokens AS first_tokens FROM lost CROSS JOIN LATERAL (
    SELECT sum({items}.n_tokens)::int AS n_tokens FROM {items}
    WHERE {items}.job_id = lost.job_id AND {items}.pos >= lost.lo AND {items}.pos < lost.middle
  ) first WHERE lost.hi - lost.lo > 1
), second AS (
  INSERT INTO shards (job_id, pool, bucket, lo, hi, n_tokens, priority, vkey, state, attempts, deaths, is_followed,
                      is_tallied, store)
  SELECT job_id, pool, bucket, middle, hi, n_tokens - first_tokens, priority, turns.vkey, 'ready', attempts, deaths,
         is_followed, is_tallied, store
  FROM halves JOIN turns USING (id)
)
UPDATE shards SET state = 'ready', token = NULL, lease_until = NULL, vkey = turns.vkey,
                  hi = coalesce(halves.middle, shards.hi), n_tokens = coalesce(halves.first_tokens, shards.n_tokens)
FROM turns LEFT JOIN halves USING (id) WHERE shards.id = turns.id
RETURNING shards.id, shards.job_id
""")

_FINISHED_JOBS = """
SELECT id, EXISTS (SELECT FROM shards WHERE shards.job_id = jobs.id AND shards.state IN ('ready', 'leased'))
FROM (SELECT id FROM jobs WHERE state = 'open' AND id > %(after)s ORDER BY id LIMIT %(limit)s) jobs ORDER BY id
"""

# A loose index scan: it probes the index once per pool, and does not read every waiting shard.
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

# Written so that the planner uses both indexes, whatever it estimates.
_DELIVERIES_DUE = """
SELECT 1 WHERE (SELECT id FROM pushes ORDER BY id LIMIT 1) IS NOT NULL
            OR (SELECT id FROM deliveries WHERE state = 'pending' AND next_attempt_at <= now()
                ORDER BY next_attempt_at LIMIT 1) IS NOT NULL
"""
