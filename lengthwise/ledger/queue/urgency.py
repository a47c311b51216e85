"""Raises the priority of jobs whose deadline nears, step by step.

With half of the time between submission and deadline left, ``background`` becomes ``normal``; with a quarter left,
everything becomes ``interactive``. The shards move to another queue, in which their tags mean nothing, so they get
new tags.
"""

from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.ledger.queue import fair_queue


def raise_priorities(connection: Connection) -> int:
    """Raises the priority of the open shards of at most 10 jobs whose deadline nears. Returns how many jobs."""
    cursor = database.cursor(connection)
    cursor.execute(_DUE)
    due = cursor.fetchall()
    for job_id, tenant_id, priority in due:
        _move(connection, job_id, tenant_id, priority)
    return len(due)


def _move(connection: Connection, job_id: UUID, tenant_id: UUID, priority: int) -> None:
    cursor = database.cursor(connection)
    cursor.execute(_POOLS, {"job": job_id})
    queues = [fair_queue.TenantQueue(pool, priority, tenant_id) for (pool,) in cursor.fetchall()]
    turns = [fair_queue.lock_start(connection, queue) for queue in queues]  # before any shard is locked
    cursor.execute(_LOCK, {"job": job_id})
    for queue, (start, weight) in zip(queues, turns, strict=True):
        where = {"job": job_id, "pool": queue.pool, "priority": priority, "start": start, "weight": weight}
        cursor.execute(_MOVE, where)
        fair_queue.set_last_finish(cursor, queue, start + sum(row[0] for row in cursor.fetchall()) / weight)
    cursor.execute(_SET_URGENCY, {"job": job_id, "priority": priority})


_DUE = """
SELECT id, tenant_id, urgency FROM (
  SELECT id, tenant_id, coalesce(urgency, priority) AS present,
         CASE WHEN now() >= deadline_at - (deadline_at - created_at) / 4 THEN 0 ELSE 1 END::smallint AS urgency
  FROM jobs WHERE state = 'open' AND deadline_at IS NOT NULL AND now() >= deadline_at - (deadline_at - created_at) / 2
) near WHERE urgency < present ORDER BY id LIMIT 10
"""

_POOLS = "SELECT DISTINCT pool FROM shards WHERE job_id = %(job)s AND state IN ('ready', 'leased') ORDER BY pool"

# Shards of all pools are locked together, in order of id, as everywhere. Leased ones are included: they may come back.
_LOCK = """
SELECT count(*) FROM (SELECT FROM shards WHERE job_id = %(job)s AND state IN ('ready', 'leased')
                      ORDER BY id FOR UPDATE) locked
"""

_MOVE = """
WITH tags AS MATERIALIZED (
  SELECT id, %(start)s + (sum(n_tokens) OVER (ORDER BY vkey, id) - n_tokens) / %(weight)s AS vkey
  FROM shards WHERE job_id = %(job)s AND pool = %(pool)s AND state IN ('ready', 'leased')
)
UPDATE shards SET priority = %(priority)s, vkey = tags.vkey FROM tags WHERE shards.id = tags.id
RETURNING shards.n_tokens
"""

_SET_URGENCY = "UPDATE jobs SET urgency = %(priority)s WHERE id = %(job)s"
