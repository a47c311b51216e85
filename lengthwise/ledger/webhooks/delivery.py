"""Claims deliveries that are due, and records each attempt. A delivery keeps its id over all its attempts.

Rows are locked in one order: an endpoint before its deliveries.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.rows import class_row
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.ledger.webhooks import sealed_secret
from lengthwise.states import DeliveryState


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery that one process holds until its ``next_attempt_at``."""

    id: UUID
    endpoint_id: UUID | None
    url: str
    body: bytes
    #: Earlier attempts, counted since the delivery was written or last resent.
    attempts: int
    #: What signs it, as it is stored (see ``keys``). Rotated ones of an endpoint are included while they are valid.
    job_id: UUID | None
    secrets: Sequence[str | None]
    signing_keys: Sequence[str | None]
    #: Whether the endpoint's last attempt failed.
    is_failing: bool
    #: False if its endpoint was disabled or deleted, or its job has no secret any more.
    is_wanted: bool
    #: The database's clock as it was claimed, and this process's monotonic clock at about the same moment.
    claimed_at: datetime
    received_at: float = field(default_factory=time.monotonic)
    #: The W3C trace context of the request that made its job, if there was one.
    trace: str | None = None

    def now(self) -> datetime:
        """The time by the database's clock. Receivers refuse a stamp that is minutes off, as a host's clock may be."""
        return self.claimed_at + timedelta(seconds=time.monotonic() - self.received_at)

    def keys(self) -> tuple[list[str], list[str]]:
        """The secrets and the ed25519 keys that sign it. Raises ``ConfigurationError`` if a master key is missing."""
        if self.endpoint_id is None:
            return [
                sealed_secret.unseal_for_job(self.job_id, stored) for stored in self.secrets if stored and self.job_id
            ], []
        owner = self.endpoint_id
        return (
            [sealed_secret.unseal_for_endpoint(owner, "secret", stored) for stored in self.secrets if stored],
            [sealed_secret.unseal_for_endpoint(owner, "signing_key", stored) for stored in self.signing_keys if stored],
        )


@dataclass(frozen=True, slots=True)
class DeliveryAttempt:
    """One POST and its outcome. ``response`` is the beginning of the answer's body."""

    started_at: datetime
    seconds: float
    status: int | None
    error: str | None
    response: str


def claim_due(
    connection: Connection, token: UUID, *, limit: int, lane_limit: int, hold_seconds: float
) -> tuple[list[DueDelivery], bool]:
    """Takes at most ``limit`` deliveries that are due. Returns them, and whether more may be due now.

    At most ``lane_limit`` attempts run in one lane, or one if its endpoint is failing. Two processes that claim at the
    same instant do not count each other's attempts, so each may then use the whole limit. If the process that holds a
    delivery dies, the delivery becomes due again after ``hold_seconds``.
    """
    cursor = database.cursor(connection, rows=class_row(DueDelivery))
    cursor.execute(_CLAIM_DUE, {"token": token, "limit": limit, "lane_limit": lane_limit, "hold": hold_seconds})
    found = cursor.fetchall()
    if unwanted := [due.id for due in found if not due.is_wanted]:
        cursor.execute(_DELETE_ORPHANS, {"ids": unwanted})
        cursor.execute(_FAIL_THESE, {"ids": unwanted})
    return [due for due in found if due.is_wanted], len(found) == limit or bool(unwanted)


def record(
    connection: Connection,
    due: DueDelivery,
    token: UUID,
    attempt: DeliveryAttempt,
    state: DeliveryState,
    next_seconds: float | None,
    failing_seconds: float,
) -> bool:
    """Records the attempt and the delivery's new state. ``next_seconds`` is when to try again, if it is pending.

    Disables an endpoint that answers 410, or at which every attempt has failed for ``failing_seconds``. Returns False,
    and writes nothing, if another process holds the delivery now.
    """
    cursor = database.cursor(connection)
    failed = state is not DeliveryState.DELIVERED
    if due.endpoint_id is not None and (failed or due.is_failing):
        cursor.execute(_LOCK_ENDPOINT, {"endpoint": due.endpoint_id})
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
    if cursor.rowcount != 1:
        return False
    if due.endpoint_id is not None and failed:
        _note_failure(connection, due.endpoint_id, attempt, failing_seconds)
    elif due.is_failing:
        cursor.execute(_NOTE_SUCCESS, {"endpoint": due.endpoint_id})
    return True


def _note_failure(connection: Connection, endpoint_id: UUID, attempt: DeliveryAttempt, failing_seconds: float) -> None:
    cursor = database.cursor(connection)
    cursor.execute(_NOTE_FAILURE, {"endpoint": endpoint_id})
    is_gone = attempt.status == 410
    reason = "the receiver answered 410 Gone" if is_gone else f"every attempt failed for {_time(failing_seconds)}"
    cursor.execute(
        _DISABLE, {"endpoint": endpoint_id, "is_gone": is_gone, "failing": failing_seconds, "reason": reason}
    )
    if cursor.rowcount:
        cursor.execute(FAIL_PENDING, {"endpoint": endpoint_id})


def _time(seconds: float) -> str:
    return f"{seconds / 86_400:g} days" if seconds >= 86_400 else f"{seconds:g} seconds"


# The index is probed once per lane, as the sweep probes it once per pool. OFFSET 0 keeps the planner from reading whole
# tables for its joins.
_CLAIM_DUE = """
WITH RECURSIVE lanes AS (
  (SELECT lane FROM deliveries WHERE state = 'pending' ORDER BY lane LIMIT 1)
  UNION ALL
  SELECT (SELECT next.lane FROM deliveries next WHERE next.state = 'pending' AND next.lane > lanes.lane
          ORDER BY next.lane LIMIT 1)
  FROM lanes WHERE lanes.lane IS NOT NULL
), heads AS (
  SELECT head.id
  FROM lanes
  LEFT JOIN LATERAL (
    SELECT failing_since FROM webhook_endpoints WHERE webhook_endpoints.id = lanes.lane OFFSET 0
  ) endpoint ON true
  CROSS JOIN LATERAL (
    SELECT count(*) AS running FROM deliveries held
    WHERE held.lane = lanes.lane AND held.state = 'pending' AND held.token IS NOT NULL AND held.next_attempt_at > now()
  ) held
  CROSS JOIN LATERAL (
    SELECT id, next_attempt_at FROM deliveries due
    WHERE due.lane = lanes.lane AND due.state = 'pending' AND due.next_attempt_at <= now()
    ORDER BY due.next_attempt_at
    LIMIT greatest(0, CASE WHEN endpoint.failing_since IS NULL THEN %(lane_limit)s ELSE 1 END - held.running)
  ) head
  WHERE lanes.lane IS NOT NULL
  ORDER BY head.next_attempt_at LIMIT %(limit)s
), taken AS MATERIALIZED (
  SELECT deliveries.id, coalesce(endpoint.url, deliveries.url) AS url,
         CASE WHEN deliveries.endpoint_id IS NULL THEN ARRAY[coalesce(jobs.webhook_secret, batches.webhook_secret)]
              ELSE ARRAY[endpoint.secret, CASE WHEN endpoint.old_until > now() THEN endpoint.old_secret END]
         END AS secrets,
         ARRAY[endpoint.signing_key, CASE WHEN endpoint.old_until > now() THEN endpoint.old_signing_key END]
           AS signing_keys,
         endpoint.failing_since IS NOT NULL AS is_failing,
         CASE WHEN deliveries.endpoint_id IS NULL THEN coalesce(jobs.webhook_secret, batches.webhook_secret) IS NOT NULL
              ELSE coalesce(endpoint.is_enabled, false) END AS is_wanted
  FROM deliveries
  LEFT JOIN LATERAL (
    SELECT * FROM webhook_endpoints WHERE webhook_endpoints.id = deliveries.endpoint_id OFFSET 0
  ) endpoint ON true
  LEFT JOIN LATERAL (
    SELECT webhook_secret FROM jobs WHERE jobs.id = deliveries.job_id AND deliveries.endpoint_id IS NULL OFFSET 0
  ) jobs ON true
  LEFT JOIN LATERAL (
    SELECT webhook_secret FROM batches
    WHERE batches.id = deliveries.job_id AND deliveries.endpoint_id IS NULL OFFSET 0
  ) batches ON true
  WHERE deliveries.id = ANY(ARRAY(SELECT id FROM heads))
    AND deliveries.state = 'pending' AND deliveries.next_attempt_at <= now()
  FOR UPDATE OF deliveries SKIP LOCKED
)
UPDATE deliveries
SET token = %(token)s, next_attempt_at = now() + make_interval(secs => %(hold)s), url = taken.url
FROM taken WHERE deliveries.id = taken.id
RETURNING deliveries.id, deliveries.endpoint_id, deliveries.job_id, deliveries.url, deliveries.body,
          deliveries.attempts - deliveries.n_before AS attempts, taken.secrets, taken.signing_keys, taken.is_failing,
          taken.is_wanted, clock_timestamp() AS claimed_at,
          (SELECT trace FROM jobs WHERE jobs.id = deliveries.job_id) AS trace
"""

# For deliveries that were written while their endpoint was being deleted.
_DELETE_ORPHANS = """
DELETE FROM deliveries WHERE id = ANY(%(ids)s)
  AND NOT EXISTS (SELECT FROM webhook_endpoints WHERE webhook_endpoints.id = deliveries.endpoint_id)
"""

_FAIL = "state = 'failed', token = NULL, next_attempt_at = now(), finished_at = now()"

# For deliveries that were written while their endpoint was being disabled.
_FAIL_THESE = f"UPDATE deliveries SET {_FAIL} WHERE id = ANY(%(ids)s)"  # noqa: S608 - built from a constant, like the next one

#: Fails all pending deliveries of an endpoint that is disabled now. They can be replayed later.
FAIL_PENDING = f"UPDATE deliveries SET {_FAIL} WHERE endpoint_id = %(endpoint)s AND state = 'pending'"  # noqa: S608

_LOCK_ENDPOINT = "SELECT id FROM webhook_endpoints WHERE id = %(endpoint)s FOR UPDATE"

_NOTE_FAILURE = "UPDATE webhook_endpoints SET failing_since = now() WHERE id = %(endpoint)s AND failing_since IS NULL"

_DISABLE = """
UPDATE webhook_endpoints SET is_enabled = false, disabled_reason = %(reason)s
WHERE id = %(endpoint)s AND is_enabled
  AND (%(is_gone)s OR failing_since <= now() - make_interval(secs => %(failing)s))
"""

_NOTE_SUCCESS = (
    "UPDATE webhook_endpoints SET failing_since = NULL WHERE id = %(endpoint)s AND failing_since IS NOT NULL"
)

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
