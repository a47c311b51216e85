"""The first results of a job, for a look at them. They are read as a download reads them, and cut."""

from typing import Any, NamedTuple
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
_BRIEF_CHARACTERS = 120


class ResultSample(NamedTuple):
    """One result: its index in the job, how the item ended, what came out, and the beginning of its line as JSON."""

    at: int
    status: str
    brief: str
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
    lines = [from_json(line) for line in text.splitlines()]
    return [_sample(row.index, row.status, line) for row, line in zip(page.rows, lines, strict=True)]


def _sample(at: int, status: str, line: dict[str, Any]) -> ResultSample:
    return ResultSample(at, status, _brief(line), _cut(to_json(line, indent=2).decode(), _CHARACTERS))


def _brief(line: dict[str, Any]) -> str:
    """The text that came out; of other outputs and of errors, their JSON."""
    found = line.get("output") or line.get("error") or ""
    if isinstance(found, dict):
        found = found.get("text") or found.get("code") or found
    return _cut(found if isinstance(found, str) else to_json(found).decode(), _BRIEF_CHARACTERS)


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[:characters]}…"
