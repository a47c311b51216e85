"""Ends a job before its work is done: cancelled by its caller, expired by its deadline, or deleted with its texts."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import NotFound
from lengthwise.ledger import ending
from lengthwise.ledger.webhooks import event
from lengthwise.states import JobState


def cancel(connection: Connection, job_id: UUID, tenant_id: UUID) -> None:
    """Cancels what has not been settled. On an ended job it does nothing. Raises ``NotFound``."""
    _require_owned(connection, job_id, tenant_id)
    _end(connection, [job_id], JobState.CANCELLED)


def expire(connection: Connection) -> None:
    """Expires the open jobs whose deadline has passed."""
    cursor = database.cursor(connection)
    cursor.execute(_OVERDUE)
    _end(connection, [row[0] for row in cursor.fetchall()], JobState.EXPIRED)


def _end(connection: Connection, job_ids: Sequence[UUID], state: JobState) -> None:
    """In-flight work of these shards fails its fence from here on. A job that ended meanwhile stays as it is."""
    if not job_ids:
        return
    cursor = database.cursor(connection)
    jobs = {"jobs": list(job_ids), "state": state}
    cursor.execute(_LOCK_OPEN_SHARDS, jobs)
    cursor.execute(_DROP_SHARDS, jobs)
    cursor.execute(_END_JOBS, jobs)
    event.announce(connection, [row[0] for row in cursor.fetchall()])


def delete(connection: Connection, job_id: UUID, tenant_id: UUID) -> None:
    """Puts a job of whatever state out of sight and drops its work and its webhooks; the sweep removes its rows.

    Raises ``NotFound``.
    """
    _require_owned(connection, job_id, tenant_id)
    cursor = database.cursor(connection)
    job = {"jobs": [job_id], "job": job_id, "state": JobState.CANCELLED}
    for statement in (_LOCK_OPEN_SHARDS, _DROP_SHARDS, _HIDE_JOB, _DELETE_PUSHES, _DELETE_DELIVERIES):
        cursor.execute(statement, job)


def _require_owned(connection: Connection, job_id: UUID, tenant_id: UUID) -> None:
    cursor = database.cursor(connection)
    cursor.execute(_OWNED, {"job": job_id, "tenant": tenant_id})
    if cursor.fetchone() is None:
        raise NotFound("there is no such job")


_OWNED = "SELECT id FROM jobs WHERE id = %(job)s AND tenant_id = %(tenant)s AND deleted_at IS NULL"

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

_END_JOBS = f"""
UPDATE jobs SET state = %(state)s, finished_at = clock_timestamp()
WHERE id = ANY(ARRAY(SELECT id FROM jobs WHERE id = ANY(%(jobs)s) AND state = 'open' ORDER BY id FOR UPDATE))
RETURNING id, {ending.TOLD}
"""  # noqa: S608 — of a constant, like the next one

# Whoever ends the job at this moment holds its shards or its row: after both, nothing more is written for it.
_HIDE_JOB = f"""
UPDATE jobs SET deleted_at = clock_timestamp(), idempotency_key = NULL,
                state = CASE WHEN state = 'open' THEN %(state)s ELSE state END,
                finished_at = coalesce(finished_at, clock_timestamp())
WHERE id = %(job)s AND deleted_at IS NULL
RETURNING {ending.TOLD}
"""  # noqa: S608

_DELETE_PUSHES = "DELETE FROM pushes WHERE job_id = %(job)s"

_DELETE_DELIVERIES = "DELETE FROM deliveries WHERE job_id = %(job)s"
