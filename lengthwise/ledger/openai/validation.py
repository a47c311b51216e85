"""Batches whose input file is still to be read. Any process may take one, and holds it until its transaction ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.states import BatchState


@dataclass(frozen=True, slots=True)
class WaitingBatch:
    """A batch that is to be validated, with all that its job will need."""

    id: UUID
    tenant_id: UUID
    key_id: UUID | None
    input_file_id: UUID
    endpoint: str
    priority: int
    deduplicate: bool
    deadline_at: datetime
    webhook_url: str | None
    webhook_secret: str | None
    attempts: int
    #: What the caller stored with it.
    metadata: dict[str, str] | None
    #: Of its file; None if that was deleted.
    filename: str | None
    n_lines: int | None
    n_bytes: int | None


def find_waiting(connection: Connection) -> list[WaitingBatch]:
    """Batches that may be validated now, oldest first. Some of them may be taken already."""
    cursor = database.cursor(connection, rows=class_row(WaitingBatch))
    return cursor.execute(_WAITING).fetchall()


def take(connection: Connection, batch_id: UUID) -> bool:
    """Locks the batch for this transaction. Returns False if another one holds it, or the batch is not open."""
    row = database.cursor(connection).execute(_TAKE, {"name": f"validate {batch_id}"}).fetchone()
    return row is not None and bool(row[0]) and is_open(connection, batch_id)


def is_open(connection: Connection, batch_id: UUID) -> bool:
    """Whether the batch is neither validated nor cancelled yet."""
    row = database.cursor(connection).execute(_IS_OPEN, {"batch": batch_id}).fetchone()
    return row is not None


def begin(connection: Connection, batch_id: UUID, pause_seconds: float) -> bool:
    """Counts an attempt to validate the batch. If it fails, the next may begin after ``pause_seconds``.

    Returns False if another process validates the batch now, or it is not due.
    """
    if not take(connection, batch_id):
        return False
    cursor = database.cursor(connection)
    cursor.execute(_BEGIN, {"batch": batch_id, "pause": pause_seconds})
    return cursor.rowcount == 1


def accept(connection: Connection, batch_id: UUID, model: str | None) -> bool:
    """Ends the validation with success. Returns False if the batch was cancelled: then its job must not be written."""
    cursor = database.cursor(connection)
    cursor.execute(_ACCEPT, {"batch": batch_id, "model": model, "state": BatchState.ACCEPTED})
    return cursor.rowcount == 1


def fail(connection: Connection, batch_id: UUID, errors: Sequence[dict[str, Any]]) -> bool:
    """Ends the batch with the errors of its lines. Returns False if the batch was cancelled."""
    cursor = database.cursor(connection)
    values = {"batch": batch_id, "errors": Jsonb({"errors": list(errors)}), "state": BatchState.FAILED}
    cursor.execute(_FAIL, values)
    return cursor.rowcount == 1


_WAITING = """
SELECT batches.id, batches.tenant_id, key_id, input_file_id, endpoint, priority, deduplicate, deadline_at, webhook_url,
       webhook_secret, attempts, details->'metadata' AS metadata, files.filename, files.n_lines, files.n_bytes
FROM batches LEFT JOIN files ON files.id = input_file_id
WHERE state = 'validating' AND not_before <= now() ORDER BY batches.created_at LIMIT 20
"""

_TAKE = "SELECT pg_try_advisory_xact_lock(hashtextextended(%(name)s, 0))"

_IS_OPEN = "SELECT FROM batches WHERE id = %(batch)s AND state = 'validating'"

_BEGIN = """
UPDATE batches SET attempts = attempts + 1, not_before = now() + make_interval(secs => %(pause)s)
WHERE id = %(batch)s AND state = 'validating' AND not_before <= now()
"""

_ACCEPT = """
UPDATE batches SET state = %(state)s, model = %(model)s, in_progress_at = clock_timestamp(), webhook_secret = NULL
WHERE id = %(batch)s AND state = 'validating'
"""

_FAIL = """
UPDATE batches SET state = %(state)s, details = details || %(errors)s, finished_at = clock_timestamp()
WHERE id = %(batch)s AND state = 'validating'
"""
