"""Secrets of jobs and endpoints as their rows hold them, and their sealing anew under the first master key."""

from uuid import UUID

from psycopg.rows import tuple_row
from sqlalchemy import Connection

from lengthwise import database, sealing


def seal_for_job(job_id: UUID, secret: str) -> str:
    """What the row of the job, or of the batch that becomes it, holds of its webhook's secret.

    Raises ``ConfigurationError`` without a master key.
    """
    return sealing.seal(secret, _job(job_id))


def unseal_for_job(job_id: UUID, stored: str) -> str:
    """The secret of the job's webhook. Raises ``ConfigurationError`` if its master key is missing."""
    return sealing.unseal(stored, _job(job_id))


def seal_for_endpoint(endpoint_id: UUID, column: str, secret: str) -> str:
    """What the endpoint's row holds in ``column``, ``secret`` or ``signing_key``, and in that of its predecessor."""
    return sealing.seal(secret, _endpoint(endpoint_id, column))


def unseal_for_endpoint(endpoint_id: UUID, column: str, stored: str) -> str:
    return sealing.unseal(stored, _endpoint(endpoint_id, column))


def _job(job_id: UUID) -> str:
    return f"jobs:{job_id}:webhook_secret"


def _endpoint(endpoint_id: UUID, column: str) -> str:
    return f"webhook_endpoints:{endpoint_id}:{column}"


def reseal(connection: Connection, *, limit: int) -> int:
    """Seals under the first master key what is under another one, or under none yet: some rows at a time.

    Returns how many; 0 when all is under the first key, or there is no key.
    """
    ids = sealing.master_keys().ids
    if not ids:
        return 0
    first, *older = ids
    cursor = database.cursor(connection, rows=tuple_row)
    jobs: list[tuple[UUID, str]] = []
    for table in ("jobs", "batches"):
        cursor.execute(_JOBS.format(table=table).encode(), {"keys": ["", *older], "limit": limit})
        found = cursor.fetchall()
        for job_id, stored in found:
            sealed = seal_for_job(job_id, unseal_for_job(job_id, stored))
            cursor.execute(_SET_JOB.format(table=table).encode(), {"id": job_id, "secret": sealed})
        jobs += found
    # What code of before copied into a delivery is read no more.
    cursor.execute(_FORGET_COPIES, {"jobs": [job_id for job_id, _ in jobs]})
    return len(jobs) + sum(_reseal_endpoints(connection, column, first, limit) for column in _COLUMNS)


def _reseal_endpoints(connection: Connection, column: str, first: str, limit: int) -> int:
    cursor = database.cursor(connection, rows=tuple_row)
    cursor.execute(_ENDPOINTS.format(column=column).encode(), {"prefix": f"{sealing.PREFIX}:{first}:", "limit": limit})
    rows = cursor.fetchall()
    place = column.removeprefix("old_")
    for endpoint_id, stored in rows:
        sealed = seal_for_endpoint(endpoint_id, place, unseal_for_endpoint(endpoint_id, place, stored))
        cursor.execute(_SET_ENDPOINT.format(column=column).encode(), {"id": endpoint_id, "secret": sealed})
    return len(rows)


def forget_rotated(connection: Connection) -> int:
    """Removes secrets that were rotated out and sign no more. Returns how many endpoints had some."""
    cursor = database.cursor(connection)
    cursor.execute(_FORGET_OLD)
    return cursor.rowcount


_COLUMNS = ("secret", "signing_key", "old_secret", "old_signing_key")

# By jobs_sealed_idx and batches_sealed_idx: the key's id stands second, and is empty for a secret that is not sealed.
_JOBS = """
SELECT id, webhook_secret FROM {table}
WHERE split_part(webhook_secret, ':', 2) = ANY(%(keys)s) AND webhook_secret IS NOT NULL
LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""

_SET_JOB = "UPDATE {table} SET webhook_secret = %(secret)s WHERE id = %(id)s"

_FORGET_COPIES = "UPDATE deliveries SET secrets = '{}' WHERE job_id = ANY(%(jobs)s) AND secrets <> '{}'"

# There are few endpoints: they are looked through.
_ENDPOINTS = """
SELECT id, {column} FROM webhook_endpoints
WHERE {column} IS NOT NULL AND NOT starts_with({column}, %(prefix)s) LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""

_SET_ENDPOINT = "UPDATE webhook_endpoints SET {column} = %(secret)s WHERE id = %(id)s"

_FORGET_OLD = """
UPDATE webhook_endpoints SET old_secret = NULL, old_signing_key = NULL, old_until = NULL WHERE old_until < now()
"""
