"""A batch's output and error files. They are views of its job's results, and exist as soon as they have a line."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from sqlalchemy import Connection

from api.jobs import download
from api.jobs.state import JobsState
from api.openai import view
from api.openai.identifier import FileId
from lengthwise.database import translated
from lengthwise.errors import NotFound
from lengthwise.ledger.jobs import results
from lengthwise.ledger.openai import batch as batches
from lengthwise.ledger.openai import file as files
from lengthwise.ledger.openai.batch import BatchRow
from lengthwise.ledger.openai.file import FileRow
from lengthwise.states import ResultStatus

_PAGE_ROWS = 1000
_PAGE_BYTES = 4 * 2**20


def find(connection: Connection, state: JobsState, tenant: UUID, name: FileId) -> FileRow:
    """An uploaded file, or one of a batch. Raises ``NotFound``."""
    if not name.part:
        return files.find(connection, name.id, tenant)
    batch = _batch(connection, state, tenant, name)
    unsized = FileRow(batch.id, name.part, "", "batch_output", 0, batch.created_at, None)
    return _sized(connection, state, batch, unsized)


def complete(connection: Connection, state: JobsState, tenant: UUID, listed: FileRow) -> FileRow:
    """A file from a list, completed with the size and the expiry that ``find`` gives."""
    if not listed.part:
        return listed
    return _sized(connection, state, batches.find(connection, listed.id, tenant), listed)


def _batch(connection: Connection, state: JobsState, tenant: UUID, name: FileId) -> BatchRow:
    """The batch of a file that has a line, and was neither deleted nor has expired. Raises ``NotFound``."""
    try:
        batch = batches.find(connection, name.id, tenant)
    except NotFound:
        batch = None
    if batch is None or not _exists(batch, name.part, state.settings.retention_seconds):
        raise NotFound("there is no such file")
    return batch


def _exists(batch: BatchRow, part: int, retention_seconds: int) -> bool:
    expires_at = view.expires_at(batch, retention_seconds)
    if expires_at is not None and expires_at <= datetime.now(UTC):
        return False
    if part == 1:
        return batch.n_succeeded > 0 and batch.output_deleted_at is None
    return batch.n_failed + batch.n_dropped > 0 and batch.error_deleted_at is None


def _sized(connection: Connection, state: JobsState, batch: BatchRow, file: FileRow) -> FileRow:
    n_bytes = batch.n_bytes if file.part == 1 else batch.n_failed_bytes + _dropped_bytes(connection, batch)
    return replace(file, n_bytes=n_bytes, expires_at=view.expires_at(batch, state.settings.retention_seconds))


def _dropped_bytes(connection: Connection, batch: BatchRow) -> int:
    """The bytes of the lines of items that never ran. These lines are not stored, so they are made and counted once."""
    if not batch.n_dropped:
        return 0
    if batch.dropped_bytes is not None:
        return batch.dropped_bytes
    n_bytes = 0
    after: int | None = -1
    while after is not None:
        page = _page(batch, 2, _PAGE_ROWS, connection, after)
        n_bytes += sum(len(download.dropped(batch.kind or "", row)) for row in page.rows if row.line is None)
        after = page.next_after
    batches.record_dropped_bytes(connection, batch.id, n_bytes)
    return n_bytes


def lines(state: JobsState, tenant: UUID, name: FileId) -> Iterator[bytes]:
    """The file, page by page. A connection is held for one page at a time. Raises ``NotFound`` at once."""
    with translated(), state.database.begin() as connection:
        batch = _batch(connection, state, tenant, name)
    return _lines(state, batch, name.part)


def _lines(state: JobsState, batch: BatchRow, part: int) -> Iterator[bytes]:
    n_rows = batch.n_succeeded if part == 1 else batch.n_failed
    n_bytes = batch.n_bytes if part == 1 else batch.n_failed_bytes
    limit = max(1, min(_PAGE_ROWS, _PAGE_BYTES * max(1, n_rows) // max(1, n_bytes)))
    return download.following(state, batch.kind or "", partial(_page, batch, part, limit), -1)


def _page(batch: BatchRow, part: int, limit: int, connection: Connection, after: int) -> results.ResultPage:
    return results.read_page(
        connection,
        batch.id,
        after=after,
        limit=limit,
        chunk_items=batch.chunk_items,
        n_items=batch.n_items,
        has_dropped=part == 2 and batch.n_dropped > 0,
        status=ResultStatus.SUCCEEDED if part == 1 else ResultStatus.FAILED,
    )
