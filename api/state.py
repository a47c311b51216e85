"""What every request of this process shares."""

from dataclasses import dataclass

from fastapi import Request

from api.access.keyring import Keyring
from api.access.rate import Rates
from api.access.tally import Tally
from api.jobs.backlog import Backlog
from api.jobs.ending import Endings
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
    endings: Endings
    keyring: Keyring
    rates: Rates
    tally: Tally

    @property
    def catalog(self) -> Catalog:
        """The models in force now: a request asks once."""
        return self.models.catalog()


def of(request: Request) -> State:
    state: State = request.app.state.shared
    return state
