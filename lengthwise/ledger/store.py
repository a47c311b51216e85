"""Stores: where a job's items and results are. A large job has tables of its own, and TRUNCATE removes its rows.

A submission takes a store in its transaction, so a rollback gives the store back. Once its job is deleted, the sweep
empties and frees it, in one transaction. Whoever is late finds nothing of another job there: a settlement fails at the
fence of its shard, because deleting a job ends its open shards; and every statement names the job whose rows it reads.
"""

from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.tables.store import N_STORES, items_name, results_name

#: The store that all jobs share which have none of their own.
SHARED = 0


def by_store(statement: str) -> tuple[str, ...]:
    """The statement for each store, by its number. It names the tables ``{items}`` and ``{results}``."""
    return tuple(
        statement.replace("{items}", items_name(store)).replace("{results}", results_name(store))
        for store in range(N_STORES + 1)
    )


def take(connection: Connection, job_id: UUID) -> int:
    """A store of its own for a job that is being written, or the shared one if no other is free. Never waits."""
    taken = database.cursor(connection).execute(_TAKE, {"job": job_id}).fetchone()
    return SHARED if taken is None else int(taken[0])


def find_left(connection: Connection) -> list[int]:
    """The stores whose jobs are deleted."""
    return [row[0] for row in database.cursor(connection).execute(_LEFT).fetchall()]


def empty(connection: Connection, store: int) -> bool:
    """Removes all rows of a store whose job is deleted, and frees it. Returns whether it did.

    It waits for nobody, and nobody waits behind it: if a transaction still reads or writes there, or keeps the deleted
    job (``retry.lock_failed_job``), it raises psycopg's ``LockNotAvailable``.
    """
    cursor = database.cursor(connection)
    held = cursor.execute(_HOLD, {"store": store}).fetchone()
    if held is None:
        return False
    # Asked in a statement of its own: only now is it certain which job holds the store.
    job = cursor.execute(_LOCK_JOB, {"job": held[0]}).fetchone()
    if job is not None and not job[0]:
        return False
    cursor.execute(_LOCK_TABLES[store])
    cursor.execute(_TRUNCATE[store])
    cursor.execute("UPDATE stores SET job_id = NULL WHERE id = %(store)s", {"store": store})
    return True


_TAKE = """
UPDATE stores SET job_id = %(job)s
WHERE id = (SELECT id FROM stores WHERE job_id IS NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id
"""

# A job may be gone already, because its other rows are removed meanwhile.
_LEFT = """
SELECT stores.id FROM stores LEFT JOIN jobs ON jobs.id = stores.job_id
WHERE stores.job_id IS NOT NULL AND (jobs.id IS NULL OR jobs.deleted_at IS NOT NULL) ORDER BY stores.id
"""

_HOLD = "SELECT job_id FROM stores WHERE id = %(store)s AND job_id IS NOT NULL FOR UPDATE SKIP LOCKED"
_LOCK_JOB = "SELECT deleted_at IS NOT NULL FROM jobs WHERE id = %(job)s FOR UPDATE NOWAIT"
_LOCK_TABLES = by_store("LOCK TABLE {items}, {results} IN ACCESS EXCLUSIVE MODE NOWAIT")
_TRUNCATE = by_store("TRUNCATE {items}, {results}")
