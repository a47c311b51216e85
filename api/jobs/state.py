"""What requests for jobs share."""

from dataclasses import dataclass

from fastapi import Request

from api.jobs.backlog import Backlog
from api.jobs.completion_listener import CompletionListener
from api.state import State


@dataclass(frozen=True, kw_only=True)
class JobsState(State):
    backlog: Backlog
    completions: CompletionListener


def of(request: Request) -> JobsState:
    state: JobsState = request.app.state.shared
    return state
