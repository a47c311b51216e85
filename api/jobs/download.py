"""A job's results as they are downloaded: by the page, each with a connection that is held for that page alone."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from uuid import UUID

from fastapi import Response
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection

from api.http import compression
from api.jobs import result_table, view
from api.jobs.body_format import BodyFormat
from api.jobs.state import JobsState
from lengthwise import kinds
from lengthwise.database import pipelined, translated
from lengthwise.ledger import read
from lengthwise.ledger.read import JobFigures, ResultPage, ResultRow
from lengthwise.states import ResultStatus

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class ResultFormat:
    """How the caller would have them."""

    form: BodyFormat = BodyFormat.NDJSON
    encoding: str | None = None


def answer(state: JobsState, tenant: UUID, job_id: UUID, after: int, wanted: ResultFormat) -> Response:
    """The results behind index ``after``, whole where they are one page. Raises ``NotFound`` and ``Unavailable``."""
    with translated(), state.database.begin() as connection, pipelined(connection):
        figures = read.figures(connection, job_id, tenant)
        page = _page(figures, connection, after)
    headers = {"lengthwise-job-state": view.state(figures), "vary": "accept, accept-encoding"}
    parts: Iterable[bytes] = chain(
        [text(figures.kind, page)],
        following(state, figures.kind, partial(_page, figures), page.next_after),
    )
    is_whole = page.next_after is None
    if wanted.form is not BodyFormat.NDJSON:
        with translated():
            parts = result_table.written(parts, wanted.form)
    if wanted.form is not BodyFormat.PARQUET and wanted.encoding and not (is_whole and len(page.rows) < _FEW_ROWS):
        parts = compression.compressed(parts, wanted.encoding)
        headers["content-encoding"] = wanted.encoding
    if is_whole:
        return Response(b"".join(parts), media_type=_media_type(wanted.form), headers=headers)
    return StreamingResponse(parts, media_type=_media_type(wanted.form), headers=headers)


#: Results that are sent as they are: compressing them gains nothing.
_FEW_ROWS = 8


def _media_type(form: BodyFormat) -> str:
    return "text/csv; charset=utf-8; header=present" if form is BodyFormat.CSV else form


def _page(figures: JobFigures, connection: Connection, after: int) -> ResultPage:
    return read.results(
        connection,
        figures.id,
        after=after,
        limit=_PAGE,
        chunk_items=figures.chunk_items,
        n_items=figures.n_items,
        has_dropped=figures.n_dropped > 0,
    )


#: Reads the page behind an index.
Read = Callable[[Connection, int], ResultPage]


def following(state: JobsState, kind: str, read: Read, after: int | None) -> Iterator[bytes]:
    """The lines of each page from behind ``after`` to the end of the job, if they are any."""
    while after is not None:
        # A slow reader holds no connection while it drinks.
        with state.database.connect() as connection:
            page = read(connection, after)
        if page.rows:
            yield text(kind, page)
        after = page.next_after


def text(kind: str, page: ResultPage) -> bytes:
    """All lines of a page."""
    return b"".join([row.line or dropped(kind, row) for row in page.rows])


def dropped(kind: str, row: ResultRow) -> bytes:
    """The line of an item that never ran."""
    known = kinds.EVERY[kind]
    item = known.item_type.model_validate_json(row.payload or b"{}")
    return known.failed(row.index, item, row.status, ResultStatus(row.status))
