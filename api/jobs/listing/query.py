"""The parameters of the list of jobs."""

from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query
from sqlalchemy import Connection

from api.jobs.schema import MAX_NAME, TAG_PATTERN, StateName, Time
from api.jobs.view import ENDED_NAMES
from lengthwise.ledger import job_figures
from lengthwise.ledger.job_figures import JobFigures
from lengthwise.ledger.jobs import search
from lengthwise.ledger.jobs.search import JobFilter
from lengthwise.states import JobState

#: Postgres cannot store U+0000.
_TEXT = r"^[^\x00]*$"
_STATES = {name: state for state, name in ENDED_NAMES.items()}

_EVERYTHING = JobFilter()


@dataclass(frozen=True, slots=True)
class ListedJobs:
    """A page of jobs, and the job after which the next one begins; None at the end."""

    jobs: list[JobFigures]
    next_after: UUID | None


def read(
    state: StateName | None = None,
    kind: Annotated[str | None, Query(max_length=40, pattern=_TEXT)] = None,
    model: Annotated[str | None, Query(max_length=200, pattern=_TEXT)] = None,
    tag: Annotated[str | None, Query(pattern=TAG_PATTERN)] = None,
    key_id: Annotated[UUID | None, Query(description="The API key that submitted it.")] = None,
    name: Annotated[
        str | None, Query(min_length=1, max_length=MAX_NAME, pattern=_TEXT, description="The beginning of its name.")
    ] = None,
    created_after: Annotated[Time | None, Query(description="Created then or later.")] = None,
    created_before: Annotated[Time | None, Query(description="Created earlier.")] = None,
) -> JobFilter:
    """The filters of a request. All of them must hold."""
    is_open = state in ("queued", "running")
    return JobFilter(
        state=None if state is None else JobState.OPEN if is_open else _STATES[state],
        is_begun=state == "running" if is_open else None,
        kind=kind,
        model=model,
        tag=tag,
        key_id=key_id,
        name=name,
        created_after=created_after,
        created_before=created_before,
    )


#: What is wanted.
Wanted = Annotated[JobFilter, Depends(read)]


def is_everything(wanted: JobFilter) -> bool:
    """Whether no filter is given."""
    return wanted == _EVERYTHING


def page(connection: Connection, tenant: UUID, wanted: JobFilter, last: JobFigures | None, limit: int) -> ListedJobs:
    """The newest jobs that are wanted, among those created before ``last``."""
    if is_everything(wanted):
        found = job_figures.page(connection, tenant, None if last is None else last.id, limit + 1)
        return ListedJobs(found[:limit], found[limit - 1].id if len(found) > limit else None)
    names = search.find(connection, tenant, wanted, last, limit)
    return ListedJobs(job_figures.read_several(connection, tenant, names.ids), names.next_after)
