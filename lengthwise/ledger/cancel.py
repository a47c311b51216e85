"""Ends a job before its work is done: cancelled by its caller, expired by its deadline, or deleted with its texts."""

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
    cursor = database.cursor(connection)
    cursor.execute(_OWNED, {"job": job_id, "tenant": tenant_id})
    if cursor.fetchone() is None:
        raise NotFound("there is no such job")
    return _end(connection, job_id, JobState.CANCELLED)


def expire(connection: Connection) -> bool:
    """Expires the open jobs whose deadline has passed. Returns whether a webhook became due."""
    cursor = database.cursor(connection)
    cursor.execute(_OVERDUE)
    return any([_end(connection, row[0], JobState.EXPIRED) for row in cursor.fetchall()])


def _end(connection: Connection, job_id: UUID, state: JobState) -> bool:
    """In-flight work of these shards fails its fence from here on. A job that ended meanwhile stays as it is."""
    cursor = database.cursor(connection)
    cursor.execute(_DROP_SHARDS, {"job": job_id, "state": state})
    cursor.execute(_END_JOB, {"job": job_id, "state": state})
    return event.announce(connection, [row[0] for row in cursor.fetchall()])


def delete(connection: Connection, job_id: UUID, tenant_id: UUID) -> None:
    """Removes a job in whatever state, its texts, results and deliveries. Raises ``NotFound``."""
    cursor = database.cursor(connection)
    cursor.execute(_OWNED, {"job": job_id, "tenant": tenant_id})
    if cursor.fetchone() is None:
        raise NotFound("there is no such job")
    for statement in _DELETE:  # shards first: a settlement in flight is waited for, a later one finds its fence gone
        cursor.execute(statement, {"job": job_id})


_OWNED = "SELECT id FROM jobs WHERE id = %(job)s AND tenant_id = %(tenant)s"

_OVERDUE = "SELECT id FROM jobs WHERE state = 'open' AND deadline_at < now() ORDER BY id LIMIT 100"

_DROP_SHARDS = """
UPDATE shards SET state = %(state)s, token = NULL, lease_until = NULL
WHERE job_id = %(job)s AND state IN ('ready', 'leased')
"""

_END_JOB = """
UPDATE jobs SET state = %(state)s, finished_at = clock_timestamp()
WHERE id = %(job)s AND state = 'open' RETURNING id
"""

_DELETE = (
    "DELETE FROM shards WHERE job_id = %(job)s",
    "DELETE FROM results WHERE job_id = %(job)s",
    "DELETE FROM items WHERE job_id = %(job)s",
    "DELETE FROM deliveries WHERE job_id = %(job)s",
    "DELETE FROM jobs WHERE id = %(job)s",
)
