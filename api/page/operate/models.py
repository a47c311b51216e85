"""The room of the models: what ``models.toml`` says of each, which workers hold it, and why one could not be loaded."""

import logging
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple
from uuid import UUID

from fastapi import APIRouter, Request, Response

from api.access import auth, caller
from api.admin import installation, workers
from api.admin.workers import WorkerProcess, WorkersModel
from api.jobs.schema import Model
from api.page import answer, stream
from api.page.live import Frame
from api.page.session import PageAdmin
from api.problem import Problem, described
from lengthwise.errors import Conflict
from lengthwise.states import WorkerState

log = logging.getLogger(__name__)
router = APIRouter(prefix="/page", include_in_schema=False)

#: Rows of the second table, which is sent again at each change. ``GET /v1/workers`` has all of them.
_MOST_HELD = 200


class HeldModel(NamedTuple):
    """A model at one worker, which holds it or could not load it."""

    worker: WorkerProcess
    model: WorkersModel


class NamedModel(NamedTuple):
    """A model of ``models.toml``, and what live workers say of it."""

    model: Model
    held: list[HeldModel]

    @property
    def n_loaded(self) -> int:
        return sum(each.model.state == "loaded" for each in self.held)

    @property
    def state(self) -> str:
        """``unusable``, ``loaded``, ``failed``, or ``not loaded``, which is no fault: the first job loads it."""
        if not self.model.usable:
            return "unusable"
        if self.n_loaded:
            return "loaded"
        return "failed" if self.held else "not loaded"


@dataclass(frozen=True, slots=True)
class ModelRoom:
    named: list[NamedModel]
    #: By model and worker, those that ``models.toml`` does not name among them.
    held: list[HeldModel]
    #: Whether ``named`` is what ``models.toml`` says now.
    is_current: bool

    @property
    def shown(self) -> list[HeldModel]:
        return self.held[:_MOST_HELD]

    @property
    def n_hidden(self) -> int:
        return len(self.held) - len(self.shown)


def look(request: Request, tenant: UUID) -> ModelRoom:
    """What the API and its workers say of all models. Raises ``Forbidden`` and ``Unavailable``."""
    live = [each for each in workers.workers(request, tenant).data if each.state is not WorkerState.LOST]
    held = [HeldModel(worker, model) for worker in live for model in worker.models]
    held.sort(key=lambda each: (each.model.name, each.worker.name))
    listed = installation.models(request, tenant)
    of_name = {name: list(each) for name, each in groupby(held, key=lambda each: each.model.name)}
    named = [NamedModel(each, of_name.get(each.id, [])) for each in listed.data]
    return ModelRoom(named, held, listed.is_current)


@router.get("/models")
def show(request: Request, tenant: PageAdmin) -> Response:
    return _page(request, tenant, was_read="read" in request.query_params)


@router.get("/events/models")
async def events(request: Request, tenant: PageAdmin) -> Response:
    """The two lists, again and again."""
    auth.require_operator(tenant)

    def frame() -> Frame:
        return Frame(answer.rendered("operate/models_live.html", found=look(request, tenant)))

    return stream.events(request, "models", frame)


@router.post("/models/reload")
def reload(request: Request, tenant: PageAdmin) -> Response:
    """Reads ``models.toml`` now. It asks nothing first, since every process does this by itself at each change."""
    auth.require_operator(tenant)
    try:
        installation.reload(request, tenant)
    except Conflict as error:
        return _page(request, tenant, wrong=described(error))
    log.info("on the page, the key %s had the models read again", caller.key_id())
    return answer.redirect("/page/models?read")


def _page(request: Request, tenant: UUID, *, was_read: bool = False, wrong: Problem | None = None) -> Response:
    return answer.page(
        request,
        "operate/models.html",
        wrong.status if wrong else 200,
        found=look(request, tenant),
        was_read=was_read,
        wrong=wrong,
    )
