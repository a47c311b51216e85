"""Idempotency keys: a repeated request finds the job that it made before, and two at once make one job."""

from dataclasses import dataclass
from uuid import UUID

from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import InvalidInput, Unavailable
from lengthwise.ledger.webhooks import sealed_secret

HEADER = "Idempotency-Key"
#: The unique index that guards against two jobs, should two requests ever pass the lock.
INDEX = "jobs_idempotency_key_idx"

#: How long a request waits for another one with the same key. A small job is stored by then, and few threads wait.
WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The idempotency key of a request, unique within its tenant, and the hash of the request."""

    key: str
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class EarlierJob:
    """The job that the same request made before, and its webhook's secret."""

    job_id: UUID
    webhook_secret: str | None


def is_used(connection: Connection, tenant_id: UUID, key: str) -> bool:
    """Whether any request with this key made a job."""
    return database.cursor(connection).execute(_FIND, {"tenant": tenant_id, "key": key}).fetchone() is not None


def find(connection: Connection, tenant_id: UUID, named: IdempotencyKey) -> EarlierJob | None:
    """The job that the same request made. Raises ``InvalidInput`` if a different request had this key."""
    found = database.cursor(connection).execute(_FIND, {"tenant": tenant_id, "key": named.key}).fetchone()
    if found is None:
        return None
    job_id, request_hash, stored = found
    if request_hash != named.request_hash:
        raise InvalidInput("another request was sent with this key; give each request a key of its own", HEADER)
    return EarlierJob(job_id, stored and sealed_secret.unseal_for_job(job_id, stored))


def lock(connection: Connection, tenant_id: UUID, key: str) -> None:
    """Makes other requests with this key wait until the transaction ends. Call it before anything is written.

    Raises ``Unavailable`` if another request holds the key for longer than two seconds.
    """
    try:
        with database.lock_wait_limited(connection, WAIT_SECONDS):
            database.cursor(connection).execute(_LOCK, {"name": f"{tenant_id} {key}"})
    except LockNotAvailable:
        raise _processed() from None


def lock_at_once(connection: Connection, tenant_id: UUID, key: str) -> None:
    """As ``lock``, but waits for nobody."""
    if not is_free(connection, tenant_id, key):
        raise _processed()


def is_free(connection: Connection, tenant_id: UUID, key: str) -> bool:
    """Whether no request with this key is being processed. If so, others wait until the transaction ends."""
    found = database.cursor(connection).execute(_TRY_LOCK, {"name": f"{tenant_id} {key}"}).fetchone()
    return bool(found and found[0])


def _processed() -> Unavailable:
    return Unavailable("another request with this Idempotency-Key is being processed", retry_after=5)


_FIND = """
SELECT id, request_hash, webhook_secret FROM jobs WHERE tenant_id = %(tenant)s AND idempotency_key = %(key)s
"""

# Two keys may have the same hash. Then one request waits without need, and the unique index still tells them apart.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%(name)s, 0))"
_TRY_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended(%(name)s, 0))"
