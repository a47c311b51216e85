"""Where a tenant's next shard is placed, by start-time fair queueing (Goyal, Vin, Cheng, 1996).

Each shard has a tag (column ``vkey``), and shards are claimed in order of their tags. There is one queue for each pool
and priority; the tags of one queue say nothing about another.
"""

from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from psycopg import Cursor
from sqlalchemy import Connection

from lengthwise import database


@dataclass(frozen=True, slots=True)
class TenantQueue:
    """One tenant's part of one queue."""

    pool: str
    priority: int
    tenant_id: UUID


def lock_start(connection: Connection, queue: TenantQueue) -> tuple[float, float]:
    """Locks the tenant, and returns the tag of its next shard in this queue, and its weight.

    The lock lasts until the transaction ends, so that tags are given one after the other. Call this before any shard
    or job is locked. Raises ``LookupError`` if the tenant does not exist.
    """
    locking, starting = database.cursor(connection), database.cursor(connection)
    # In a pipeline both statements are sent before an answer is read. The second begins once the first has its lock.
    locking.execute(_LOCK_TENANT, {"tenant": queue.tenant_id})
    starting.execute(_FAIR_START, asdict(queue))
    found = locking.fetchone()
    if found is None:
        raise LookupError("the tenant does not exist")
    return starting.fetchall()[0][0], found[0]


def wait_for_turn(connection: Connection, tenant_id: UUID, seconds: float) -> None:
    """Waits until no other submission of the tenant is at its end, for this long rather than as long as usual."""
    with database.lock_wait_limited(connection, seconds):
        database.cursor(connection).execute(_LOCK_TENANT, {"tenant": tenant_id})


def set_last_finish(cursor: Cursor[Any], queue: TenantQueue, finish: float) -> None:
    """Stores the tag at which the tenant's last shard in this queue ends."""
    cursor.execute(_SET_LAST_FINISH, asdict(queue) | {"finish": finish})


_LOCK_TENANT = "SELECT weight FROM tenants WHERE id = %(tenant)s FOR NO KEY UPDATE"

# The tag comes after the tenant's last shard in this queue. It is never before the shard that is served next or, if
# nothing waits, before any shard that was there.
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
