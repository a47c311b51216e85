"""Turns in the fair queue: where a tenant's next shard is tagged (start-time fair queueing: Goyal, Vin, Cheng, 1996).

A queue is a pool and a priority; a tag of one says nothing about another.
"""

from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from psycopg import Cursor
from sqlalchemy import Connection

from lengthwise import database


@dataclass(frozen=True, slots=True)
class TenantQueue:
    """One tenant's place in one queue."""

    pool: str
    priority: int
    tenant_id: UUID


def lock_start(connection: Connection, queue: TenantQueue) -> tuple[float, float]:
    """The tag of the tenant's next shard in this queue, and its weight; its turns are taken one after the other from
    here to the commit.

    Comes before any shard or job is locked.
    """
    locking, starting = database.cursor(connection), database.cursor(connection)
    # Neither is waited for before both are sent; the second begins when the first has its lock.
    locking.execute(_LOCK_TENANT, {"tenant": queue.tenant_id})
    starting.execute(_FAIR_START, asdict(queue))
    found = locking.fetchone()
    if found is None:
        raise LookupError("the tenant does not exist")
    return starting.fetchall()[0][0], found[0]


def set_last_finish(cursor: Cursor[Any], queue: TenantQueue, finish: float) -> None:
    """Notes the tag at which the tenant's last shard in this queue ends."""
    cursor.execute(_SET_LAST_FINISH, asdict(queue) | {"finish": finish})


_LOCK_TENANT = "SELECT weight FROM tenants WHERE id = %(tenant)s FOR NO KEY UPDATE"

# After the tenant's last shard there, and never before the shard that is next to be served (or, with nothing waiting,
# before anything that was).
_FAIR_START = """
SELECT greatest(
  (SELECT last_finish FROM turns WHERE pool = %(pool)s AND priority = %(priority)s AND tenant_id = %(tenant_id)s),
  coalesce((SELECT vkey FROM shards WHERE pool = %(pool)s AND priority = %(priority)s AND state = 'ready' AND hi > lo
            ORDER BY priority, vkey, id LIMIT 1),
           (SELECT max(last_finish) FROM turns WHERE pool = %(pool)s AND priority = %(priority)s),
           0))
"""

_SET_LAST_FINISH = """
INSERT INTO turns (pool, priority, tenant_id, last_finish)
VALUES (%(pool)s, %(priority)s, %(tenant_id)s, %(finish)s)
ON CONFLICT (pool, priority, tenant_id) DO UPDATE SET last_finish = excluded.last_finish
"""
