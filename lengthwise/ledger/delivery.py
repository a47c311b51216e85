"""Webhooks that are due, and what came of each attempt. A delivery keeps its id over all its attempts."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, dict_row
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.states import DeliveryState


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that one process holds until ``next_attempt_at``. ``attempts`` counts those before this one."""

    id: UUID
    url: str
    secrets: list[str]
    body: bytes
    attempts: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One POST and its outcome; ``response`` is the answer's beginning."""

    started_at: datetime
    seconds: float
    status: int | None
    error: str | None
    response: str


def claim_due(connection: Connection, token: UUID, *, limit: int, hold_seconds: float) -> list[Due]:
    """Takes deliveries that are due; one whose holder died becomes due again after ``hold_seconds``."""
    cursor = database.cursor(connection, rows=class_row(Due))
    return cursor.execute(_CLAIM_DUE, {"token": token, "limit": limit, "hold": hold_seconds}).fetchall()


def record(
    connection: Connection,
    due: Due,
    token: UUID,
    attempt: Attempt,
    state: DeliveryState,
    next_seconds: float | None,
) -> bool:
    """Writes the attempt and moves the delivery on. Returns False, writing nothing, if another process holds it now."""
    cursor = database.cursor(connection)
    cursor.execute(
        _RECORD,
        {
            "id": due.id,
            "token": token,
            "state": state,
            "next": next_seconds,
            "started_at": attempt.started_at,
            "seconds": attempt.seconds,
            "status": attempt.status,
            "error": attempt.error,
            "response": attempt.response,
        },
    )
    return cursor.rowcount == 1


def of_job(connection: Connection, job_id: UUID) -> list[dict[str, Any]]:
    """A job's deliveries with their attempts, oldest first; no secret among them."""
    cursor = database.cursor(connection, rows=dict_row)
    return cursor.execute(_OF_JOB, {"job": job_id}).fetchall()


_CLAIM_DUE = """
UPDATE deliveries SET token = %(token)s, next_attempt_at = now() + make_interval(secs => %(hold)s)
WHERE id IN (SELECT id FROM deliveries WHERE state = 'pending' AND next_attempt_at <= now()
             ORDER BY next_attempt_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
RETURNING id, url, secrets, body, attempts
"""

_RECORD = """
WITH moved AS (
  UPDATE deliveries
  SET state = %(state)s, attempts = attempts + 1, token = NULL,
      next_attempt_at = now() + make_interval(secs => coalesce(%(next)s::float8, 0)),
      finished_at = CASE WHEN %(state)s = 'pending' THEN NULL ELSE now() END
  WHERE id = %(id)s AND token = %(token)s AND state = 'pending'
  RETURNING id, attempts
)
INSERT INTO attempts (delivery_id, n, started_at, seconds, status, error, response)
SELECT id, attempts, %(started_at)s, %(seconds)s, %(status)s, %(error)s, %(response)s FROM moved
"""

_OF_JOB = """
SELECT deliveries.id, deliveries.event, deliveries.url, deliveries.state, deliveries.created_at, deliveries.finished_at,
       CASE WHEN deliveries.state = 'pending' THEN deliveries.next_attempt_at END AS next_attempt_at,
       coalesce((SELECT jsonb_agg(jsonb_build_object('n', n, 'started_at', started_at, 'seconds', seconds,
                                                     'status', status, 'error', error) ORDER BY n)
                 FROM attempts WHERE attempts.delivery_id = deliveries.id), '[]') AS attempts
FROM deliveries WHERE job_id = %(job)s ORDER BY created_at, id
"""
