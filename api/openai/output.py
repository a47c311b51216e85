"""A batch's output and error files. They are views of its job's results, and exist as soon as they have a line."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from sqlalchemy import Connection

from api.jobs import download
from api.jobs.state import JobsState
from api.openai.identifier import FileId
from lengthwise.database import translated
from lengthwise.ledger.jobs import results
from lengthwise.ledger.openai import batch as batches
from lengthwise.ledger.openai import file as files
from lengthwise.ledger.openai import file_list
from lengthwise.ledger.openai.batch import BatchRow
from lengthwise.ledger.openai.file import FileRow
from lengthwise.states import ResultStatus

_PAGE_ROWS = 1000
_PAGE_BYTES = 4 * 2**20


def find(connection: Connection, state: JobsState, tenant: UUID, name: FileId) -> FileRow:
    """An uploaded file, or one of a batch. Raises ``NotFound``."""
    if not name.part:
        return files.find(connection, name.id, tenant)
    [found] = sized(connection, [_output(connection, state, tenant, name)])
    return found


def _output(connection: Connection, state: JobsState, tenant: UUID, name: FileId) -> FileRow:
    kept = state.settings.retention_seconds
    return file_list.find_output(connection, name.id, name.part, tenant, retention_seconds=kept)


def sized(connection: Connection, found: Sequence[FileRow]) -> list[FileRow]:
    """The files with their whole sizes. The lines of items that never ran are not stored.

    They are made and counted once, when their file is first shown, and for all files in one query.
    """
    n_dropped = _dropped_bytes(connection, [file.id for file in found if file.lacks_dropped])
    return [
        replace(file, n_bytes=file.n_bytes + n_dropped[file.id], lacks_dropped=False) if file.lacks_dropped else file
        for file in found
    ]


def _dropped_bytes(connection: Connection, batch_ids: Sequence[UUID]) -> Mapping[UUID, int]:
    counted: Counter[UUID] = Counter()
    if batch_ids:
        for batch_id, kind, row in results.read_dropped(connection, batch_ids):
            counted[batch_id] += len(download.dropped(kind, row))
        batches.record_dropped_bytes(connection, counted)
    return counted


def lines(state: JobsState, tenant: UUID, name: FileId) -> Iterator[bytes]:
    """The file, page by page. A connection is held for one page at a time. Raises ``NotFound`` at once."""
    with translated(), state.database.begin() as connection:
        _output(connection, state, tenant, name)
        batch = batches.find(connection, name.id, tenant)
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
        store=batch.store,
        after=after,
        limit=limit,
        chunk_items=batch.chunk_items,
        n_items=batch.n_items,
        has_dropped=part == 2 and batch.n_dropped > 0,
        status=ResultStatus.SUCCEEDED if part == 1 else ResultStatus.FAILED,
    )
