"""A job's results as they are downloaded: by the page, each with a connection that is held for that page alone."""

from collections.abc import Iterator
from itertools import chain
from uuid import UUID

from fastapi import Response
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection

from api import view
from api.state import State
from lengthwise import kinds
from lengthwise.database import pipelined, translated
from lengthwise.ledger import read
from lengthwise.ledger.read import JobFigures, ResultPage, ResultRow
from lengthwise.states import ResultStatus

_PAGE = 1000
_MEDIA_TYPE = "application/x-ndjson"


def answer(state: State, tenant: UUID, job_id: UUID, after: int) -> Response:
    """The results behind index ``after``, whole where they are one page. Raises ``NotFound`` and ``Unavailable``."""
    with translated(), state.database.begin() as connection, pipelined(connection):
        figures = read.figures(connection, job_id, tenant)
        page = _page(connection, figures, after)
    headers = {"lengthwise-job-state": view.state(figures)}
    first = _text(figures, page)
    if page.next_after is None:
        return Response(first, media_type=_MEDIA_TYPE, headers=headers)
    rest = _rest(state, figures, page.next_after)
    return StreamingResponse(chain([first], rest), media_type=_MEDIA_TYPE, headers=headers)


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
