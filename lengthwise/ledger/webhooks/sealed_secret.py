"""The signing secrets of jobs and endpoints, which are sealed (encrypted) in their rows.

Also seals them anew when the first master key changes.
"""

from uuid import UUID

from psycopg.rows import tuple_row
from sqlalchemy import Connection

from lengthwise import database, sealing


def seal_for_job(job_id: UUID, secret: str) -> str:
    """The webhook's secret as the row of the job, or of the batch that becomes it, stores it.

    Raises ``ConfigurationError`` if there is no master key.
    """
    return sealing.seal(secret, _job(job_id))


def unseal_for_job(job_id: UUID, stored: str) -> str:
    """The secret of the job's webhook. Raises ``ConfigurationError`` if its master key is missing."""
    return sealing.unseal(stored, _job(job_id))


def seal_for_endpoint(endpoint_id: UUID, column: str, secret: str) -> str:
    """The secret as the endpoint's row stores it. ``column`` is ``secret`` or ``signing_key``, for rotated ones too."""
    return sealing.seal(secret, _endpoint(endpoint_id, column))


def unseal_for_endpoint(endpoint_id: UUID, column: str, stored: str) -> str:
    """The secret that the column stores. Raises ``ConfigurationError`` if its master key is missing."""
    return sealing.unseal(stored, _endpoint(endpoint_id, column))


def _job(job_id: UUID) -> str:
    return f"jobs:{job_id}:webhook_secret"


def _endpoint(endpoint_id: UUID, column: str) -> str:
    return f"webhook_endpoints:{endpoint_id}:{column}"


def reseal(connection: Connection, *, limit: int) -> int:
    """Seals secrets under the first master key that are under another one, or not sealed yet.

    Does at most ``limit`` of each table and column, and returns how many in all: 0 if nothing is left to do, or there
    is no master key.
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
    # Older versions copied secrets into deliveries. Nothing reads these copies any more.
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
    """Removes rotated secrets that do not sign any more. Returns how many endpoints had one."""
    cursor = database.cursor(connection)
    cursor.execute(_FORGET_OLD)
    return cursor.rowcount


_COLUMNS = ("secret", "signing_key", "old_secret", "old_signing_key")

# Uses jobs_sealed_idx and batches_sealed_idx. The second part is the master key's id; it is empty if the secret is not
# sealed.
_JOBS = """
SELECT id, webhook_secret FROM {table}
WHERE split_part(webhook_secret, ':', 2) = ANY(%(keys)s) AND webhook_secret IS NOT NULL
LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""

_SET_JOB = "UPDATE {table} SET webhook_secret = %(secret)s WHERE id = %(id)s"

_FORGET_COPIES = "UPDATE deliveries SET secrets = '{}' WHERE job_id = ANY(%(jobs)s) AND secrets <> '{}'"

# There are few endpoints, so this reads them all.
_ENDPOINTS = """
SELECT id, {column} FROM webhook_endpoints
WHERE {column} IS NOT NULL AND NOT starts_with({column}, %(prefix)s) LIMIT %(limit)s FOR UPDATE SKIP LOCKED
"""

_SET_ENDPOINT = "UPDATE webhook_endpoints SET {column} = %(secret)s WHERE id = %(id)s"

_FORGET_OLD = """
UPDATE webhook_endpoints SET old_secret = NULL, old_signing_key = NULL, old_until = NULL WHERE old_until < now()
"""
