"""Ends jobs before their work is done: a caller cancels or deletes one, or its deadline passes."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import NotFound
from lengthwise.ledger import job_end
from lengthwise.ledger.webhooks import event
from lengthwise.states import JobState


def cancel(connection: Connection, job_id: UUID, tenant_id: UUID) -> None:
    """Cancels the items of a job that are not settled. If the job has ended, nothing changes. Raises ``NotFound``."""
    _require_owned(connection, job_id, tenant_id)
    _end(connection, [job_id], JobState.CANCELLED)


def expire(connection: Connection) -> int:
    """Expires the open jobs whose deadline has passed. Returns how many."""
    cursor = database.cursor(connection)
    cursor.execute(_OVERDUE)
    return _end(connection, [row[0] for row in cursor.fetchall()], JobState.EXPIRED)


def _end(connection: Connection, job_ids: Sequence[UUID], state: JobState) -> int:
    """Ends the open jobs among these. Returns how many. Work in flight then fails at its fence."""
    if not job_ids:
        return 0
    cursor = database.cursor(connection)
    jobs = {"jobs": list(job_ids), "state": state}
    cursor.execute(_LOCK_OPEN_SHARDS, jobs)
    cursor.execute(_DROP_SHARDS, jobs)
    cursor.execute(_END_JOBS, jobs)
    ended = [row[0] for row in cursor.fetchall()]
    event.announce_end(connection, ended)
    return len(ended)


def delete(connection: Connection, job_id: UUID, tenant_id: UUID) -> None:
    """Hides a job in any state, and drops its open work and its webhooks. The sweep removes its rows later.

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

# Shards are locked in order of id, as everywhere. A settlement that is in flight ends first, and a later one fails at
# its fence.
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
RETURNING id, {job_end.NOTIFY}
"""  # noqa: S608 - built from a constant, like the next one

# A step that ends the job at the same time holds its shards or its row. This statement waits for both, so nothing is
# written for the job after it.
_HIDE_JOB = f"""
UPDATE jobs SET deleted_at = clock_timestamp(), idempotency_key = NULL,
                state = CASE WHEN state = 'open' THEN %(state)s ELSE state END,
                finished_at = coalesce(finished_at, clock_timestamp())
WHERE id = %(job)s AND deleted_at IS NULL
RETURNING {job_end.NOTIFY}
"""  # noqa: S608

_DELETE_PUSHES = "DELETE FROM pushes WHERE job_id = %(job)s"

_DELETE_DELIVERIES = "DELETE FROM deliveries WHERE job_id = %(job)s"
