"""What requests of the page share."""

from dataclasses import dataclass

from fastapi import Request

from api.access.auth import AccessState
from api.jobs.state import JobsState
from api.page.live import LiveFigures
from api.page.seal import Sessions


@dataclass(frozen=True, kw_only=True)
class PageState(AccessState, JobsState):
    sessions: Sessions
    live: LiveFigures


def of(request: Request) -> PageState:
    state: PageState = request.app.state.shared
    return state
