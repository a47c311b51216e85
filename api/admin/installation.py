"""What this installation is ready for: its health, and the models that jobs may name."""

import logging

from fastapi import APIRouter, Request
from sqlalchemy import select
from sqlalchemy.exc import ProgrammingError

from api.access.auth import Admin, Reader
from api.http import document
from api.jobs.schema import Model, ModelList
from api.state import State, of
from lengthwise.database import translated
from lengthwise.errors import ConfigurationError, Conflict, Unavailable
from lengthwise.models.catalog import ModelSpec
from lengthwise.tables import metadata

log = logging.getLogger(__name__)
router = APIRouter()

_NOT_RELOADED = document.conflict(
    "models.toml is not valid, or names a revision that cannot take its place",
    "models.toml is not valid, and the models stay as they were: the log says why",
)


@router.get("/healthz", tags=["health"], responses=document.problems())
def healthz() -> dict[str, str]:
    """The process answers. This does not check the servers that it needs."""
    return {"status": "ok"}


@router.get("/readyz", tags=["health"], responses=document.problems(503))
def readyz(request: Request) -> dict[str, str]:
    """Postgres answers and is migrated. Redis is not checked: jobs are accepted without it."""
    try:
        with translated(), of(request).database.begin() as connection:
            for table in metadata.sorted_tables:
                connection.execute(select(table).limit(0))
    except ProgrammingError:  # a table or a column is missing
        raise Unavailable("the database is not migrated: lengthwise migrate does it") from None
    return {"status": "ready"}


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
