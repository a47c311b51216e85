"""Ends a job before its work is done: cancelled by its caller, expired by its deadline, or deleted with its texts."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import NotFound
from lengthwise.ledger import event
from lengthwise.states import JobState


def cancel(connection: Connection, job_id: UUID, tenant_id: UUID) -> bool:
    """Cancels what has not been settled. On an ended job it does nothing. Returns whether a webhook became due.

    Raises ``NotFound``.
    """
    _require_owned(connection, job_id, tenant_id)
    return _end(connection, [job_id], JobState.CANCELLED)


def expire(connection: Connection) -> bool:
    """Expires the open jobs whose deadline has passed. Returns whether a webhook became due."""
    cursor = database.cursor(connection)
    cursor.execute(_OVERDUE)
    return _end(connection, [row[0] for row in cursor.fetchall()], JobState.EXPIRED)


def _end(connection: Connection, job_ids: Sequence[UUID], state: JobState) -> bool:
    """In-flight work of these shards fails its fence from here on. A job that ended meanwhile stays as it is."""
    if not job_ids:
        return False
    cursor = database.cursor(connection)
    jobs = {"jobs": list(job_ids), "state": state}
    cursor.execute(_LOCK_OPEN_SHARDS, jobs)
    cursor.execute(_DROP_SHARDS, jobs)
    cursor.execute(_END_JOBS, jobs)
    return event.announce(connection, [row[0] for row in cursor.fetchall()])


def delete(connection: Connection, job_id: UUID, tenant_id: UUID) -> None:
    """Removes a job in whatever state, its texts, results and deliveries. Raises ``NotFound``."""
    _require_owned(connection, job_id, tenant_id)
    cursor = database.cursor(connection)
    for statement in _DELETE:
        cursor.execute(statement, {"job": job_id})


def _require_owned(connection: Connection, job_id: UUID, tenant_id: UUID) -> None:
    cursor = database.cursor(connection)
    cursor.execute(_OWNED, {"job": job_id, "tenant": tenant_id})
    if cursor.fetchone() is None:
        raise NotFound("there is no such job")


_OWNED = "SELECT id FROM jobs WHERE id = %(job)s AND tenant_id = %(tenant)s"

_OVERDUE = "SELECT id FROM jobs WHERE state = 'open' AND deadline_at < now() ORDER BY id LIMIT 100"

# In order of id, as everywhere: a settlement in flight is waited for, and a later one finds its fence gone.
_LOCK_OPEN_SHARDS = """
SELECT count(*) FROM (SELECT FROM shards WHERE job_id = ANY(%(jobs)s) AND state IN ('ready', 'leased')
                      ORDER BY id FOR UPDATE) locked
"""

_DROP_SHARDS = """
UPDATE shards SET state = %(state)s, token = NULL, lease_until = NULL
WHERE job_id = ANY(%(jobs)s) AND state IN ('ready', 'leased')
"""

_END_JOBS = """
UPDATE jobs SET state = %(state)s, finished_at = clock_timestamp()
WHERE id = ANY(ARRAY(SELECT id FROM jobs WHERE id = ANY(%(jobs)s) AND state = 'open' ORDER BY id FOR UPDATE))
RETURNING id
"""

# Whoever ends the job at this moment holds its shards or its row: after both, nothing more is written for it.
_DELETE = (
    "SELECT count(*) FROM (SELECT FROM shards WHERE job_id = %(job)s ORDER BY id FOR UPDATE) locked",
    "DELETE FROM jobs WHERE id = %(job)s",
    "DELETE FROM shards WHERE job_id = %(job)s",
    "DELETE FROM results WHERE job_id = %(job)s",
    "DELETE FROM items WHERE job_id = %(job)s",
    "DELETE FROM deliveries WHERE job_id = %(job)s",
)
