"""The first results of a job, for a look at them. They are read as a download reads them, and cut."""

from typing import NamedTuple
from uuid import UUID

from pydantic_core import from_json, to_json

from api.jobs import download
from api.jobs.state import JobsState
from lengthwise.database import translated
from lengthwise.kinds import result_line
from lengthwise.ledger import job_figures
from lengthwise.ledger.jobs import results

_MOST = 5
_CHARACTERS = 600


class ResultSample(NamedTuple):
    """One result: its index in the job, how the item ended, and the beginning of its line as JSON."""

    at: int
    status: str
    text: str


def read(state: JobsState, tenant: UUID, job_id: UUID) -> list[ResultSample]:
    """The first results, at most five. Raises ``NotFound`` and ``Unavailable``."""
    with translated(), state.database.begin() as connection:
        figures = job_figures.read(connection, job_id, tenant)
        page = results.read_page(
            connection,
            figures.id,
            store=figures.store,
            after=-1,
            limit=_MOST,
            chunk_items=figures.chunk_items,
            n_items=figures.n_items,
            has_dropped=figures.n_dropped > 0,
        )
    text = download.text(figures.kind, page)
    if state.settings.score_digits is not None:
        text = result_line.rounded(text, digits=state.settings.score_digits)
    return [
        ResultSample(row.index, row.status, _cut(line)) for row, line in zip(page.rows, text.splitlines(), strict=True)
    ]


def _cut(line: bytes) -> str:
    shown = to_json(from_json(line), indent=2).decode()
    return shown if len(shown) <= _CHARACTERS else f"{shown[:_CHARACTERS]}…"
