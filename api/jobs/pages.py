"""A job's results as the lines that their caller reads, by the page, each with a connection for that page alone."""

from collections.abc import Callable, Iterator

from sqlalchemy import Connection

from api.state import State
from lengthwise import kinds
from lengthwise.ledger.jobs.results import ResultPage, ResultRow
from lengthwise.states import ResultStatus

#: Reads the page behind an index.
Read = Callable[[Connection, int], ResultPage]


def following(state: State, kind: str, read: Read, after: int | None) -> Iterator[bytes]:
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
    known = kinds.named(kind)
    item = known.item_type.model_validate_json(row.payload or b"{}")
    return known.failed(row.index, item, row.status, ResultStatus(row.status))
