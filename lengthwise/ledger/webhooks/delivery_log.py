"""Lists deliveries for their owner, and sends them again. Nothing here holds a secret.

A delivery that is sent again keeps its id, and so its ``webhook-id``. Its schedule of attempts begins anew.
"""

from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from psycopg.rows import dict_row
from sqlalchemy import Connection

from lengthwise import bells, database
from lengthwise.errors import Conflict, NotFound

DeliveryRow = dict[str, Any]


def list_for_job(connection: Connection, job_id: UUID) -> list[DeliveryRow]:
    """A job's deliveries with their attempts, oldest first."""
    return _select(connection, _OF_JOB, job=job_id)


def list_for_endpoint(
    connection: Connection, endpoint_id: UUID, state: str | None, after: UUID | None, limit: int
) -> list[DeliveryRow]:
    """An endpoint's deliveries, newest first; those of one state, and those written before ``after``, if given."""
    return _select(connection, _OF_ENDPOINT, endpoint=endpoint_id, state=state, after=after, limit=limit)


def find(connection: Connection, delivery_id: UUID, tenant_id: UUID) -> DeliveryRow:
    """One delivery with its attempts. Raises ``NotFound``."""
    found = _select(connection, _ONE, id=delivery_id, tenant=tenant_id)
    if not found:
        raise NotFound("there is no such delivery")
    return found[0]


def _select(connection: Connection, where: str, **params: Any) -> list[DeliveryRow]:
    cursor = database.cursor(connection, rows=dict_row)
    return cursor.execute(_SHOWN.format(where=where), params).fetchall()


def resend(connection: Connection, delivery_id: UUID, tenant_id: UUID) -> DeliveryRow:
    """Makes a delivery in any state due now. If one of its attempts is running, nothing changes.

    Raises ``NotFound``, and ``Conflict`` if its endpoint is disabled.
    """
    shown = find(connection, delivery_id, tenant_id)
    if shown["endpoint_id"] is not None:
        require_enabled(connection, shown["endpoint_id"])
    database.cursor(connection).execute(_RESEND, {"id": delivery_id})
    bells.note(connection, bells.DELIVER)
    return find(connection, delivery_id, tenant_id)


class ReplayResult(NamedTuple):
    """How many deliveries became due again."""

    n_deliveries: int
    #: The ``since`` with which to continue; None if there are no more.
    next_since: datetime | None


def replay(
    connection: Connection, endpoint_id: UUID, since: datetime, *, only_failed: bool, limit: int = 10_000
) -> ReplayResult:
    """Makes the endpoint's deliveries due again that were written at ``since`` or later, at most ``limit`` of them.

    Raises ``Conflict`` if the endpoint is disabled.
    """
    require_enabled(connection, endpoint_id)
    cursor = database.cursor(connection)
    given = {"endpoint": endpoint_id, "since": since, "only_failed": only_failed, "limit": limit}
    cursor.execute(_REPLAY, given)
    times = [row[0] for row in cursor.fetchall()]
    if times:
        bells.note(connection, bells.DELIVER)
    return ReplayResult(len(times), max(times) if len(times) == limit else None)


def require_enabled(connection: Connection, endpoint_id: UUID) -> None:
    """Locks the endpoint's row against being disabled. Raises ``Conflict`` if it is disabled already, or gone."""
    found = database.cursor(connection).execute(_IS_ENABLED, {"endpoint": endpoint_id}).fetchone()
    if found is None or not found[0]:
        raise Conflict("the endpoint is disabled; enable it first")


_SHOWN = """
SELECT deliveries.id, deliveries.job_id, deliveries.endpoint_id, deliveries.event, deliveries.url, deliveries.state,
       deliveries.created_at, deliveries.finished_at,
       CASE WHEN deliveries.state = 'pending' THEN deliveries.next_attempt_at END AS next_attempt_at,
       coalesce((SELECT jsonb_agg(jsonb_build_object('n', n, 'started_at', started_at, 'seconds', seconds,
                                                     'status', status, 'error', error, 'response', response) ORDER BY n)
                 FROM attempts WHERE attempts.delivery_id = deliveries.id), '[]') AS attempts
FROM deliveries {where}
"""

_OF_JOB = "WHERE job_id = %(job)s ORDER BY created_at, id"

_OF_ENDPOINT = """
WHERE endpoint_id = %(endpoint)s AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(after)s::uuid IS NULL
       OR (created_at, id) < (SELECT created_at, id FROM deliveries
                              WHERE id = %(after)s AND endpoint_id = %(endpoint)s))
ORDER BY created_at DESC, id DESC LIMIT %(limit)s
"""

_ONE = """
WHERE deliveries.id = %(id)s
  AND CASE WHEN endpoint_id IS NULL
           THEN EXISTS (SELECT FROM jobs WHERE jobs.id = job_id AND tenant_id = %(tenant)s AND deleted_at IS NULL)
           ELSE EXISTS (SELECT FROM webhook_endpoints endpoint
                        WHERE endpoint.id = endpoint_id AND tenant_id = %(tenant)s) END
"""

_AGAIN = "state = 'pending', next_attempt_at = now(), finished_at = NULL, n_before = attempts"

_RESEND = f"UPDATE deliveries SET {_AGAIN} WHERE id = %(id)s AND token IS NULL"  # noqa: S608 - built from a constant, like the next

_REPLAY = f"""
UPDATE deliveries SET {_AGAIN} WHERE id = ANY(ARRAY(
  SELECT id FROM deliveries
  WHERE endpoint_id = %(endpoint)s AND created_at >= %(since)s
    AND CASE WHEN %(only_failed)s THEN state = 'failed' ELSE state <> 'pending' END
  ORDER BY created_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
RETURNING created_at
"""  # noqa: S608

_IS_ENABLED = "SELECT is_enabled FROM webhook_endpoints WHERE id = %(endpoint)s FOR SHARE"
