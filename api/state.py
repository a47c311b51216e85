"""What every request of this process shares."""

from dataclasses import dataclass

from fastapi import Request
from sqlalchemy import Engine

from api.backlog import Backlog
from api.ending import Endings
from lengthwise.catalog import Catalog
from lengthwise.settings import Settings


@dataclass(frozen=True, slots=True)
class State:
    settings: Settings
    catalog: Catalog
    database: Engine
    backlog: Backlog
    endings: Endings


def of(request: Request) -> State:
    state: State = request.app.state.shared
    return state
