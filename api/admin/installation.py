"""What this installation is ready for: its health, and the models that jobs may name."""

import logging
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from api.access.auth import Admin, Reader
from api.admin.readiness import Readiness
from api.http import document
from api.jobs.schema import Model, ModelList
from api.state import State, of
from lengthwise.errors import ConfigurationError, Conflict
from lengthwise.models.catalog import ModelSpec

log = logging.getLogger(__name__)
router = APIRouter()

_NOT_RELOADED = document.conflict(
    "models.toml is not valid, or names a revision that cannot take its place",
    "models.toml is not valid, and the models stay as they were: the log says why",
)


class Ready(BaseModel):
    status: Literal["ready", "degraded"]
    reasons: list[str]


@router.get("/healthz", tags=["health"], responses=document.problems())
async def healthz() -> dict[str, str]:
    """The process answers. This does not check the servers that it needs, and waits for none of them."""
    return {"status": "ok"}


@router.get("/readyz", tags=["health"], response_model=Ready, responses=document.problems(503))
async def readyz(request: Request) -> Ready:
    """Postgres answers within a second and is migrated. Redis is not checked: jobs are accepted without it.

    Jobs are accepted also if it is ``degraded``: probes should look at the status code. ``reasons`` say what is wrong
    with the workers. A model that could not be loaded counts until a worker has loaded it, or ``models.toml`` no longer
    names it.
    """
    readiness: Readiness = request.app.state.readiness
    found = await readiness.ask()
    return Ready(status="degraded" if found else "ready", reasons=found)


@router.get("/v1/models", tags=["models"], response_model=ModelList, responses=document.KEY_ERRORS)
def models(request: Request, _: Reader) -> ModelList:
    """The models of ``models.toml``; while that file is not valid, of its last valid version.

    The list includes models that cannot be served now: ``usable`` is false, and ``reason`` and ``remedy`` say more.
    """
    return _list(of(request))


@router.post(
    "/v1/models/reload",
    tags=["models"],
    response_model=ModelList,
    responses=document.KEY_ERRORS | _NOT_RELOADED,
)
def reload(request: Request, _: Admin) -> ModelList:
    """Reads ``models.toml`` at once and says what is in force.

    Every process of the API and every worker reads the file by itself within a second. The answer says whether it is
    valid.
    """
    state = of(request)
    if not state.models.look():
        raise Conflict("models.toml is not valid, and the models stay as they were: the log says why")
    return _list(state)


def _list(state: State) -> ModelList:
    shown = [shown_model(state, spec) for spec in state.catalog.models.values()]
    return ModelList(data=shown, is_current=state.models.is_current)


def shown_model(state: State, spec: ModelSpec) -> Model:
    """A model as callers see it. Of an unusable one, the files may be missing."""
    found = state.unusable(spec)
    revision, context, created = _figures(spec)
    return Model(
        id=spec.name,
        created=created,
        owned_by=spec.engine,
        revision=revision,
        kinds=list(spec.kinds),
        quantization=spec.quantization,
        context=context,
        languages=[list(pair) for options in spec.kind_options.values() for pair in options.language_pairs()],
        usable=found is None,
        reason=found.reason if found else None,
        remedy=found.remedy if found else None,
    )


def _figures(spec: ModelSpec) -> tuple[str | None, int | None, int]:
    """The revision, the context, and when the files were written."""
    try:
        return spec.made_by, spec.context, int((spec.folder / "config.json").stat().st_mtime)
    except (ConfigurationError, OSError):
        return None, None, 0
