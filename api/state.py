"""What the requests of a process share. A room that shares more adds it in a state of its own, built on this one."""

from dataclasses import dataclass

from fastapi import Request

from lengthwise.database import Database
from lengthwise.models.catalog import Catalog
from lengthwise.models.catalog_file import CatalogFile
from lengthwise.settings import Settings


@dataclass(frozen=True, kw_only=True)
class State:
    settings: Settings
    models: CatalogFile
    database: Database

    @property
    def catalog(self) -> Catalog:
        """The models in force now: a request asks once."""
        return self.models.catalog()


def of(request: Request) -> State:
    state: State = request.app.state.shared
    return state
