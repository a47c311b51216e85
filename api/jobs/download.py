"""A job's results as they are downloaded: by the page, each with a connection that is held for that page alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import chain
from uuid import UUID

from fastapi import Response
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection

from api.http import compression
from api.jobs import pages, result_table, view
from api.jobs.body_format import BodyFormat
from api.state import State
from lengthwise.database import pipelined, translated
from lengthwise.ledger import read
from lengthwise.ledger.read import JobFigures, ResultPage

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class ResultFormat:
    """How the caller would have them."""

    form: BodyFormat = BodyFormat.NDJSON
    encoding: str | None = None


def answer(state: State, tenant: UUID, job_id: UUID, after: int, wanted: ResultFormat) -> Response:
    """The results behind index ``after``, whole where they are one page. Raises ``NotFound`` and ``Unavailable``."""
    with translated(), state.database.begin() as connection, pipelined(connection):
        figures = read.figures(connection, job_id, tenant)
        page = _page(figures, connection, after)
    headers = {"lengthwise-job-state": view.state(figures), "vary": "accept, accept-encoding"}
    parts: Iterable[bytes] = chain(
        [pages.text(figures.kind, page)],
        pages.following(state, figures.kind, partial(_page, figures), page.next_after),
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
