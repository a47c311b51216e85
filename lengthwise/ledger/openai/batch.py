"""Batches of the OpenAI-compatible surface. Once a batch's file is read, a job of the same id holds its lines."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb
from sqlalchemy import Connection

from lengthwise import database
from lengthwise.errors import NotFound
from lengthwise.ledger import tally
from lengthwise.ledger.store import by_store
from lengthwise.ledger.webhooks import sealed_secret
from lengthwise.states import BatchState


@dataclass(frozen=True, slots=True)
class NewBatchRow:
    """A batch that is about to be written."""

    id: UUID
    tenant_id: UUID
    key_id: UUID | None
    input_file_id: UUID
    endpoint: str
    completion_window: str
    priority: int
    deduplicate: bool
    #: Its completion window, counted from now by the database's clock, and an earlier deadline, if the caller set one.
    window_seconds: float
    deadline_at: datetime | None
    metadata: dict[str, str] | None
    output_seconds: int | None
    webhook_url: str | None
    webhook_secret: str | None
    idempotency_key: str | None
    request_hash: bytes


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch and, once it has a job, figures summed over the job's shards."""

    id: UUID
    tenant_id: UUID
    state: BatchState
    input_file_id: UUID
    endpoint: str
    completion_window: str
    details: dict[str, Any]
    model: str | None
    created_at: datetime
    deadline_at: datetime
    in_progress_at: datetime | None
    cancelling_at: datetime | None
    finished_at: datetime | None
    output_seconds: int | None
    output_deleted_at: datetime | None
    error_deleted_at: datetime | None
    #: The job: one of ``JobState``, and how many items it has in all, settled, failed, and never run.
    job_state: str | None
    kind: str | None
    store: int
    chunk_items: int
    n_items: int
    n_done: int
    n_failed: int
    n_dropped: int
    used_input: int
    used_output: int
    n_bytes: int
    n_failed_bytes: int

    @property
    def n_succeeded(self) -> int:
        return self.n_done - self.n_failed


def insert(connection: Connection, new: NewBatchRow) -> None:
    """Stores a batch whose file is still to be read."""
    sealed = new.webhook_secret and sealed_secret.seal_for_job(new.id, new.webhook_secret)
    values = asdict(new) | {"state": BatchState.VALIDATING, "details": Jsonb({"metadata": new.metadata})}
    values["webhook_secret"] = sealed
    database.cursor(connection).execute(_INSERT, values)


def find(connection: Connection, batch_id: UUID, tenant_id: UUID) -> BatchRow:
    """One batch. Raises ``NotFound`` if it does not exist, belongs to another tenant, or its job was deleted."""
    found = _figures(connection, _ONE, {"batch": batch_id, "tenant": tenant_id})
    if not found:
        raise NotFound("there is no such batch")
    return found[0]


def page(connection: Connection, tenant_id: UUID, after: UUID | None, limit: int) -> list[BatchRow]:
    """A tenant's batches, newest first; with ``after``, only those created before that batch."""
    return _figures(connection, _PAGE, {"tenant": tenant_id, "after": after, "limit": limit})


def _figures(connection: Connection, where: str, params: dict[str, Any]) -> list[BatchRow]:
    cursor = database.cursor(connection, rows=class_row(BatchRow))
    return cursor.execute(_FIGURES.format(where=where, sums=tally.SUMS), params).fetchall()


@dataclass(frozen=True, slots=True)
class EarlierBatch:
    """A batch that an earlier request made, and the hash of that request."""

    id: UUID
    request_hash: bytes


def find_by_idempotency_key(connection: Connection, tenant_id: UUID, key: str) -> EarlierBatch | None:
    """The batch that a request with this Idempotency-Key made."""
    cursor = database.cursor(connection, rows=class_row(EarlierBatch))
    found: EarlierBatch | None = cursor.execute(_MADE_UNDER, {"tenant": tenant_id, "key": key}).fetchone()
    return found


def find_recent_duplicate(connection: Connection, tenant_id: UUID, request_hash: bytes, seconds: float) -> UUID | None:
    """The newest batch that an identical request made within the last ``seconds``."""
    values = {"tenant": tenant_id, "hash": request_hash, "seconds": seconds}
    row = database.cursor(connection).execute(_MADE_LATELY, values).fetchone()
    return None if row is None else row[0]


def forget_request(connection: Connection, batch_id: UUID) -> None:
    """Forgets which request made a batch that is deleted, so that the same request may make another."""
    statement = "UPDATE batches SET idempotency_key = NULL, request_hash = '' WHERE id = %(batch)s"
    database.cursor(connection).execute(statement, {"batch": batch_id})


def mark_cancelling(connection: Connection, batch_id: UUID, tenant_id: UUID) -> bool:
    """Records that the batch is to be cancelled. A batch without a job ends by that.

    Returns whether anything changed.
    """
    cursor = database.cursor(connection)
    cursor.execute(_MARK_CANCELLING, {"batch": batch_id, "tenant": tenant_id})
    return cursor.rowcount == 1


def find_half_cancelled(connection: Connection) -> Sequence[tuple[UUID, UUID]]:
    """Batches, with their tenants, whose cancellation an API process began but did not finish: their jobs are open."""
    cursor = database.cursor(connection)
    cursor.execute(_HALF_CANCELLED)
    return cursor.fetchall()


def record_dropped_bytes(connection: Connection, n_bytes: Mapping[UUID, int]) -> None:
    """Stores, for each of these batches, how many bytes the result lines of the items that never ran take."""
    values = {"batches": list(n_bytes.keys()), "bytes": list(n_bytes.values())}
    database.cursor(connection).execute(_RECORD_DROPPED, values)


def delete_output(connection: Connection, batch_id: UUID, *, store: int, is_errors: bool) -> None:
    """Hides the output file of an ended batch, or its error file, and removes the results in it."""
    cursor = database.cursor(connection)
    cursor.execute(_HIDE_ERRORS if is_errors else _HIDE_OUTPUT, {"batch": batch_id})
    cursor.execute(_DELETE_RESULTS[store], {"batch": batch_id, "status": "failed" if is_errors else "succeeded"})


def expire(connection: Connection, *, retention_seconds: int) -> int:
    """Removes batches that never became jobs and ended longer ago than this. Returns how many."""
    cursor = database.cursor(connection)
    cursor.execute(_EXPIRE, {"retention": retention_seconds})
    return cursor.rowcount


_INSERT = """
INSERT INTO batches (id, tenant_id, state, key_id, input_file_id, endpoint, completion_window, priority, deduplicate,
                     deadline_at, details, output_seconds, webhook_url, webhook_secret, idempotency_key, request_hash)
VALUES (%(id)s, %(tenant_id)s, %(state)s, %(key_id)s, %(input_file_id)s, %(endpoint)s, %(completion_window)s,
        %(priority)s, %(deduplicate)s, least(%(deadline_at)s, now() + make_interval(secs => %(window_seconds)s)),
        %(details)s, %(output_seconds)s, %(webhook_url)s, %(webhook_secret)s, %(idempotency_key)s, %(request_hash)s)
"""

_FIGURES = """
SELECT batches.id, batches.tenant_id, batches.state, batches.input_file_id, batches.endpoint,
       batches.completion_window, batches.details, batches.model, batches.created_at, batches.deadline_at,
       batches.in_progress_at, batches.cancelling_at, coalesce(batches.finished_at, jobs.finished_at) AS finished_at,
       batches.output_seconds, batches.output_deleted_at, batches.error_deleted_at,
       jobs.state AS job_state, jobs.kind, coalesce(jobs.store, 0) AS store,
       coalesce(jobs.chunk_items, 1) AS chunk_items, coalesce(jobs.n_items, 0) AS n_items, n_done, n_failed, n_dropped,
       used_input, used_output, n_bytes, n_failed_bytes
FROM batches LEFT JOIN jobs ON jobs.id = batches.id CROSS JOIN LATERAL ({sums}) sums
WHERE batches.tenant_id = %(tenant)s
  AND (batches.state <> 'accepted' OR jobs.id IS NOT NULL AND jobs.deleted_at IS NULL) {where}
"""

_ONE = "AND batches.id = %(batch)s"

_PAGE = """
AND (%(after)s::uuid IS NULL
     OR (batches.created_at, batches.id) < (SELECT created_at, id FROM batches
                                            WHERE id = %(after)s AND tenant_id = %(tenant)s))
ORDER BY batches.created_at DESC, batches.id DESC LIMIT %(limit)s
"""

_MADE_UNDER = "SELECT id, request_hash FROM batches WHERE tenant_id = %(tenant)s AND idempotency_key = %(key)s"

_MADE_LATELY = """
SELECT id FROM batches
WHERE tenant_id = %(tenant)s AND request_hash = %(hash)s AND created_at > now() - make_interval(secs => %(seconds)s)
ORDER BY created_at DESC LIMIT 1
"""

_MARK_CANCELLING = """
UPDATE batches
SET cancelling_at = clock_timestamp(),
    finished_at = CASE WHEN state = 'validating' THEN clock_timestamp() END,
    state = CASE WHEN state = 'validating' THEN 'cancelled' ELSE state END
WHERE id = %(batch)s AND tenant_id = %(tenant)s AND cancelling_at IS NULL
  AND (state = 'validating'
       OR state = 'accepted' AND EXISTS (SELECT FROM jobs WHERE jobs.id = batches.id AND jobs.state = 'open'))
"""

_HALF_CANCELLED = """
SELECT batches.id, batches.tenant_id FROM batches JOIN jobs ON jobs.id = batches.id
WHERE batches.cancelling_at > now() - interval '1 day' AND jobs.state = 'open' AND jobs.deleted_at IS NULL LIMIT 100
"""

_RECORD_DROPPED = """
UPDATE batches SET dropped_bytes = counted.bytes
FROM unnest(%(batches)s::uuid[], %(bytes)s::bigint[]) counted (id, bytes) WHERE batches.id = counted.id
"""

_HIDE_OUTPUT = "UPDATE batches SET output_deleted_at = clock_timestamp() WHERE id = %(batch)s"
_HIDE_ERRORS = "UPDATE batches SET error_deleted_at = clock_timestamp() WHERE id = %(batch)s"
_DELETE_RESULTS = by_store("DELETE FROM {results} WHERE job_id = %(batch)s AND status = %(status)s")

_EXPIRE = """
DELETE FROM batches
WHERE id = ANY(ARRAY(SELECT id FROM batches
                     WHERE finished_at IS NOT NULL AND finished_at < now() - make_interval(secs => %(retention)s)
                     ORDER BY finished_at LIMIT 100 FOR UPDATE SKIP LOCKED))
"""
