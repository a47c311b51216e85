"""A job's results as they are downloaded: by the page, each with a connection that is held for that page alone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from uuid import UUID

from fastapi import Response
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection

from api import deflate, tabular, view
from api.sent import Form
from api.state import State
from lengthwise import kinds
from lengthwise.database import pipelined, translated
from lengthwise.ledger import read
from lengthwise.ledger.read import JobFigures, ResultPage, ResultRow
from lengthwise.states import ResultStatus

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Wanted:
    """How the caller would have them."""

    form: Form = Form.NDJSON
    encoding: str | None = None


def answer(state: State, tenant: UUID, job_id: UUID, after: int, wanted: Wanted) -> Response:
    """The results behind index ``after``, whole where they are one page. Raises ``NotFound`` and ``Unavailable``."""
    with translated(), state.database.begin() as connection, pipelined(connection):
        figures = read.figures(connection, job_id, tenant)
        page = _page(connection, figures, after)
    headers = {"lengthwise-job-state": view.state(figures), "vary": "accept, accept-encoding"}
    parts: Iterable[bytes] = chain([_text(figures, page)], _rest(state, figures, page.next_after))
    is_whole = page.next_after is None
    if wanted.form is not Form.NDJSON:
        with translated():
            parts = tabular.written(parts, wanted.form)
    if wanted.form is not Form.PARQUET and wanted.encoding and not (is_whole and len(page.rows) < _FEW_ROWS):
        parts = deflate.compressed(parts, wanted.encoding)
        headers["content-encoding"] = wanted.encoding
    if is_whole:
        return Response(b"".join(parts), media_type=_media_type(wanted.form), headers=headers)
    return StreamingResponse(parts, media_type=_media_type(wanted.form), headers=headers)


#: Results that are sent as they are: compressing them gains nothing.
_FEW_ROWS = 8


def _media_type(form: Form) -> str:
    return "text/csv; charset=utf-8; header=present" if form is Form.CSV else form


def _rest(state: State, figures: JobFigures, after: int | None) -> Iterator[bytes]:
    while after is not None:
        # A slow reader holds no connection while it drinks.
        with state.database.connect() as connection:
            page = _page(connection, figures, after)
        if page.rows:
            yield _text(figures, page)
        after = page.next_after


def _page(connection: Connection, figures: JobFigures, after: int) -> ResultPage:
    return read.results(
        connection,
        figures.id,
        after=after,
        limit=_PAGE,
        chunk_items=figures.chunk_items,
        n_items=figures.n_items,
        has_dropped=figures.n_dropped > 0,
    )


def _text(figures: JobFigures, page: ResultPage) -> bytes:
    return b"".join([row.line or _dropped(figures, row) for row in page.rows])


def _dropped(figures: JobFigures, row: ResultRow) -> bytes:
    """The line of an item that never ran."""
    kind = kinds.EVERY[figures.kind]
    item = kind.item_type.model_validate_json(row.payload or b"{}")
    return kind.failed(row.index, item, row.status, ResultStatus(row.status))
