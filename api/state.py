"""What the requests of a process share. A package that shares more has a subclass of ``State`` for it."""

from dataclasses import dataclass

from fastapi import Request

from lengthwise.database import Database
from lengthwise.errors import ModelUnusable
from lengthwise.models.catalog import Catalog, ModelSpec
from lengthwise.models.catalog_file import CatalogFile
from lengthwise.models.usable import unusable
from lengthwise.settings import Settings
from lengthwise.webhooks.host_check import HostCheck


@dataclass(frozen=True, kw_only=True)
class State:
    settings: Settings
    models: CatalogFile
    database: Database
    hosts: HostCheck

    @property
    def catalog(self) -> Catalog:
        """The models in force now. Call it once for each request: the next call may give other models."""
        return self.models.catalog()

    def unusable(self, spec: ModelSpec) -> ModelUnusable | None:
        """Why no job may name this model now; None if jobs may."""
        return unusable(spec, is_local=self.settings.has_local_workers)


def of(request: Request) -> State:
    state: State = request.app.state.shared
    return state
