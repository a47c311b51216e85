"""What time alone must mend: leases that ran out, jobs whose end was missed, and bells that were lost."""

from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database


def expire_leases(connection: Connection, *, max_attempts: int) -> int:
    """Makes the shards of dead workers claimable again; those claimed too often are left to ``claim_exhausted``."""
    cursor = database.cursor(connection)
    cursor.execute(_EXPIRE_LEASES, {"max_attempts": max_attempts})
    return cursor.rowcount


def finished_jobs(connection: Connection) -> list[UUID]:
    """Open jobs without an open shard: their last two shards were settled in the same instant."""
    cursor = database.cursor(connection)
    cursor.execute(_FINISHED_JOBS)
    return [row[0] for row in cursor.fetchall()]


def waiting_pools(connection: Connection) -> list[str]:
    """Pools with work that may be claimed now."""
    cursor = database.cursor(connection)
    cursor.execute(_WAITING_POOLS)
    return [row[0] for row in cursor.fetchall()]


def deliveries_due(connection: Connection) -> bool:
    cursor = database.cursor(connection)
    cursor.execute(_DELIVERIES_DUE)
    return cursor.fetchone() is not None


_EXPIRE_LEASES = """
UPDATE shards SET state = 'ready', token = NULL, lease_until = NULL
WHERE id = ANY(ARRAY(SELECT id FROM shards
                     WHERE state = 'leased' AND lease_until < now() AND attempts < %(max_attempts)s
                     ORDER BY lease_until LIMIT 1000 FOR UPDATE SKIP LOCKED))
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
SELECT pool FROM pools
WHERE EXISTS (SELECT FROM shards WHERE shards.pool = pools.pool AND state = 'ready' AND not_before <= now())
"""

_DELIVERIES_DUE = "SELECT 1 FROM deliveries WHERE state = 'pending' AND next_attempt_at <= now() LIMIT 1"
