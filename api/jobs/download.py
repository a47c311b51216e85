"""Downloads a job's results page by page. A database connection is held for one page at a time."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from uuid import UUID

from fastapi import Response
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection

from api.http import compression
from api.jobs import view
from api.jobs.body_format import BodyFormat
from api.jobs.state import JobsState
from api.jobs.tables import result_table
from api.jobs.tables.result_table import KeptRows
from lengthwise import json_line, kinds
from lengthwise.database import pipelined, translated
from lengthwise.formats.source import RowBlock, SourceTable
from lengthwise.kinds import result_line
from lengthwise.ledger import job_figures
from lengthwise.ledger.job_figures import JobFigures
from lengthwise.ledger.jobs import results, source
from lengthwise.ledger.jobs.results import ResultPage, ResultRow
from lengthwise.states import ResultStatus

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class ResultFormat:
    """The format and encoding of a download. ``has_rows`` asks for the columns of the job's own table too."""

    format: BodyFormat = BodyFormat.NDJSON
    encoding: str | None = None
    has_rows: bool = True
    delimiter: str = ","


def answer(state: JobsState, tenant: UUID, job_id: UUID, after: int, wanted: ResultFormat) -> Response:
    """The results after index ``after``; one page is answered at once. Raises ``NotFound`` and ``Unavailable``."""
    with translated(), state.database.begin() as connection, pipelined(connection):
        figures = job_figures.read(connection, job_id, tenant)
        page = _page(figures, connection, after)
    headers = {"lengthwise-job-state": view.state(figures), "vary": "accept, accept-encoding"}
    parts: Iterable[bytes] = chain(
        [text(figures.kind, page)],
        following(state, figures.kind, partial(_page, figures), page.next_after),
    )
    if state.settings.score_digits is not None:
        parts = map(partial(result_line.rounded, digits=state.settings.score_digits), parts)
    is_whole = page.next_after is None
    if wanted.format is not BodyFormat.NDJSON:
        with translated():
            kept = _kept(state, figures) if wanted.has_rows else None
            parts = result_table.written(parts, wanted.format, wanted.delimiter, kept)
    if wanted.format is not BodyFormat.PARQUET and wanted.encoding and not (is_whole and len(page.rows) < _FEW_ROWS):
        parts = compression.compressed(parts, wanted.encoding)
        headers["content-encoding"] = wanted.encoding
    if is_whole:
        return Response(b"".join(parts), media_type=_media_type(wanted.format), headers=headers)
    return StreamingResponse(parts, media_type=_media_type(wanted.format), headers=headers)


#: Fewer results than this are not compressed, because that would gain nothing.
_FEW_ROWS = 8


def _media_type(body_format: BodyFormat) -> str:
    return "text/csv; charset=utf-8; header=present" if body_format is BodyFormat.CSV else body_format


def _kept(state: JobsState, figures: JobFigures) -> KeptRows | None:
    if figures.source is None:
        return None

    def read(start: int, end: int) -> Iterator[RowBlock]:
        with state.database.connect() as connection:
            return map(RowBlock._make, source.read(connection, figures.id, start, end))

    with state.database.connect() as connection:
        table = SourceTable(**source.read_table(connection, figures.id))
    return KeptRows(table, read)


def _page(figures: JobFigures, connection: Connection, after: int) -> ResultPage:
    return results.read_page(
        connection,
        figures.id,
        store=figures.store,
        after=after,
        limit=_PAGE,
        chunk_items=figures.chunk_items,
        n_items=figures.n_items,
        has_dropped=figures.n_dropped > 0,
    )


#: Reads the page after an index.
Read = Callable[[Connection, int], ResultPage]


def following(state: JobsState, kind: str, read: Read, after: int | None) -> Iterator[bytes]:
    """The lines of each page after ``after``, to the end of the job."""
    while after is not None:
        # The connection is given back before a slow caller reads the page.
        with state.database.connect() as connection:
            page = read(connection, after)
        if page.rows:
            yield text(kind, page)
        after = page.next_after


def text(kind: str, page: ResultPage) -> bytes:
    """All lines of a page, joined. Workers escape new lines; older ones may be in the ledger as they were written."""
    return json_line.escaped(b"".join([row.line or dropped(kind, row) for row in page.rows]))


def dropped(kind: str, row: ResultRow) -> bytes:
    """The line of an item that never ran."""
    known = kinds.find(kind)
    item = known.item_type.model_validate_json(row.payload or b"{}")
    return known.failed(row.index, item, row.status, ResultStatus(row.status))
