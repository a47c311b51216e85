"""Why an OpenAI batch has no job yet."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.rows import class_row
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.ledger.why.judgement import Why
from lengthwise.states import Reason

#: Batches that are counted before it, at most.
_MOST_BATCHES = 1_000


@dataclass(frozen=True, slots=True)
class ReadBatch:
    """An OpenAI batch whose file is still to be read."""

    created_at: datetime
    #: How often reading it was begun, and when it may be begun again.
    attempts: int
    next_at: datetime
    #: Whether a process of the API reads it at this moment.
    is_being_read: bool
    #: Batches that were created earlier and are still to be read.
    n_ahead: int


def read(connection: Connection, batch_id: UUID, tenant_id: UUID) -> Why | None:
    """Why the batch has no job yet; None if it does not wait for one.

    ``is_busy`` says that its file is being read, and ``n_ahead`` how many batches come before it.
    """
    found = _find(connection, batch_id, tenant_id)
    if found is None:
        return None
    return Why(
        Reason.VALIDATING,
        since=found.created_at,
        until=None if found.is_being_read or not found.attempts else found.next_at,
        is_busy=found.is_being_read,
        attempts=found.attempts,
        n_ahead=found.n_ahead,
    )


def _find(connection: Connection, batch_id: UUID, tenant_id: UUID) -> ReadBatch | None:
    cursor = database.cursor(connection, rows=class_row(ReadBatch))
    values = {"batch": batch_id, "tenant": tenant_id, "name": f"validate {batch_id}", "limit": _MOST_BATCHES}
    found: ReadBatch | None = cursor.execute(_BATCH, values).fetchone()
    return found


# The process that reads a batch's file holds an advisory lock (``lengthwise.ledger.openai.validation``).
_BATCH = """
SELECT created_at, attempts, not_before AS next_at, EXISTS (
         SELECT FROM pg_locks
         WHERE locktype = 'advisory' AND granted AND objsubid = 1
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND (classid::bigint << 32) | objid::bigint = hashtextextended(%(name)s, 0)
       ) AS is_being_read, (
         SELECT count(*) FROM (
           SELECT FROM batches earlier
           WHERE earlier.state = 'validating' AND earlier.created_at < batches.created_at LIMIT %(limit)s) earlier
       ) AS n_ahead
FROM batches WHERE id = %(batch)s AND tenant_id = %(tenant)s AND state = 'validating'
"""
