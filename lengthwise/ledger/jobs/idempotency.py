"""Requests that their caller named: the same one again finds the job that it made, and only one at a time makes it."""

from dataclasses import dataclass
from uuid import UUID

from psycopg.errors import LockNotAvailable
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import InvalidInput, Unavailable
from lengthwise.ledger.webhooks import sealed_secret

HEADER = "Idempotency-Key"
#: The last guard, should two requests ever pass the lock.
INDEX = "jobs_idempotency_key_idx"

#: How long a request waits for another of the same name: a small job is taken by then, and few threads ever wait.
_WAIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A request's name, its tenant's own, and the hash of what came under it."""

    key: str
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class EarlierJob:
    """The job that a request made before."""

    job_id: UUID
    webhook_secret: str | None


def is_used(connection: Connection, tenant_id: UUID, key: str) -> bool:
    """Whether a job was made under this name, by whatever request."""
    return database.cursor(connection).execute(_FIND, {"tenant": tenant_id, "key": key}).fetchone() is not None


def find(connection: Connection, tenant_id: UUID, named: IdempotencyKey) -> EarlierJob | None:
    """The job that this very request made. Raises ``InvalidInput`` if it was another request of this name."""
    found = database.cursor(connection).execute(_FIND, {"tenant": tenant_id, "key": named.key}).fetchone()
    if found is None:
        return None
    job_id, request_hash, stored = found
    if request_hash != named.request_hash:
        raise InvalidInput("another request was sent under this key; give each request a key of its own", HEADER)
    return EarlierJob(job_id, stored and sealed_secret.unseal_for_job(job_id, stored))


def lock(connection: Connection, tenant_id: UUID, key: str) -> None:
    """Lets no other request of this name go on until the transaction ends; to be called before anything is written.

    Raises ``Unavailable`` if another one goes on for longer than a caller should wait.
    """
    cursor = database.cursor(connection)
    database.limit_lock_wait(connection, _WAIT_SECONDS)
    try:
        cursor.execute(_LOCK, {"name": f"{tenant_id} {key}"})
    except LockNotAvailable:
        raise Unavailable("another request under this Idempotency-Key is being taken", retry_after=5) from None
    cursor.execute("SET LOCAL lock_timeout TO DEFAULT")


_FIND = """
SELECT id, request_hash, webhook_secret FROM jobs WHERE tenant_id = %(tenant)s AND idempotency_key = %(key)s
"""

# Of two names with one hash the second waits for nothing; the unique index on jobs tells them apart.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%(name)s, 0))"
