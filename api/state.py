"""What every request of this process shares."""

from dataclasses import dataclass

from fastapi import Request

from api.access.keyring import Keyring
from api.access.rate import RateLimits
from api.access.request_counter import RequestCounter
from api.jobs.backlog import Backlog
from api.jobs.completion_listener import CompletionListener
from lengthwise.database import Database
from lengthwise.models.catalog import Catalog
from lengthwise.models.catalog_file import CatalogFile
from lengthwise.settings import Settings


@dataclass(frozen=True, slots=True)
class State:
    settings: Settings
    models: CatalogFile
    database: Database
    backlog: Backlog
    endings: CompletionListener
    keyring: Keyring
    rates: RateLimits
    tally: RequestCounter

    @property
    def catalog(self) -> Catalog:
        """The models in force now: a request asks once."""
        return self.models.catalog()


def of(request: Request) -> State:
    state: State = request.app.state.shared
    return state
