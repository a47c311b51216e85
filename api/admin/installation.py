"""What this installation is ready for: its health, and the models that jobs may name."""

import asyncio
import logging

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from api.access.auth import Admin, Reader
from api.http import document
from api.jobs.schema import Model, ModelList
from api.state import State, of
from lengthwise.database import translated
from lengthwise.errors import ConfigurationError, Conflict, Unavailable
from lengthwise.ledger import schema
from lengthwise.models.catalog import ModelSpec

log = logging.getLogger(__name__)
router = APIRouter()

#: How long ``/readyz`` waits for Postgres.
_READY_SECONDS = 1.0

_NOT_RELOADED = document.conflict(
    "models.toml is not valid, or names a revision that cannot take its place",
    "models.toml is not valid, and the models stay as they were: the log says why",
)


@router.get("/healthz", tags=["health"], responses=document.problems())
async def healthz() -> dict[str, str]:
    """The process answers. This does not check the servers that it needs, and waits for none of them."""
    return {"status": "ok"}


@router.get("/readyz", tags=["health"], responses=document.problems(503))
async def readyz(request: Request) -> dict[str, str]:
    """Postgres answers within a second and is migrated. Redis is not checked: jobs are accepted without it."""
    try:
        # Requests that ask at the same time share one question, so that they never need more than one thread.
        async with asyncio.timeout(_READY_SECONDS):
            is_migrated = await asyncio.shield(_question(request))
    except TimeoutError:
        raise Unavailable("the database does not answer within a second") from None
    if not is_migrated:
        raise Unavailable("the database is not migrated: lengthwise migrate does it")
    return {"status": "ready"}


def _question(request: Request) -> asyncio.Task[bool]:
    """Whether the database is migrated: the question that is under way, or else a new one."""
    asked: asyncio.Task[bool] | None = getattr(request.app.state, "is_migrated", None)
    if asked is None or asked.done():
        asked = request.app.state.is_migrated = asyncio.create_task(run_in_threadpool(_is_migrated, of(request)))
        asked.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # in case nobody waits any more
    return asked


def _is_migrated(state: State) -> bool:
    with translated(), state.database.begin() as connection:
        return not schema.incomplete_tables(connection)


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
