"""What requests for jobs share."""

from dataclasses import dataclass

from fastapi import Request

from api.access.turns import Turns
from api.http.spool import Spools
from api.jobs.backlog import Backlog
from api.jobs.completion_listener import CompletionListener
from api.state import State

#: Parquet files that one process of the API reads at a time. Each may need the memory of its budget.
PARQUET_PROCESSES = 2


@dataclass(frozen=True, kw_only=True)
class JobsState(State):
    backlog: Backlog
    completions: CompletionListener
    spools: Spools
    #: For whoever reads a body and writes it, each with a thread and a database connection.
    writing: Turns
    #: For reading a Parquet file, in a child process.
    parquet: Turns


def of(request: Request) -> JobsState:
    state: JobsState = request.app.state.shared
    return state
