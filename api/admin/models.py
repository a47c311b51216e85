"""The models that jobs may name."""

import logging

from fastapi import APIRouter, Request

from api.access.auth import Admin, Reader
from api.jobs import document
from api.jobs.schema import Model, ModelList
from api.openai import document as openai_document
from api.state import State, of
from lengthwise.errors import ConfigurationError, Conflict, UnknownName
from lengthwise.models.catalog import ModelSpec

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", response_model=ModelList, responses=document.problems())
def models(request: Request, _: Reader) -> ModelList:
    """What ``models.toml`` names and this machine has; where it is not valid now, what it named last."""
    return _list(of(request))


def _list(state: State) -> ModelList:
    shown = [_shown(spec) for spec in state.catalog.models.values()]
    return ModelList(data=[model for model in shown if model is not None], is_current=state.models.is_current)


@router.get("/{name:path}", response_model=Model, responses=openai_document.errors(404))
def model(request: Request, _: Reader, name: str) -> Model:
    """One model, by its name."""
    spec = of(request).catalog.models.get(name)
    shown = _shown(spec) if spec else None
    if shown is None:
        raise UnknownName(f"no such model; known here: {', '.join(of(request).catalog.models)}", "model")
    return shown


@router.post("/reload", response_model=ModelList, responses=document.problems() | document.NOT_RELOADED)
def reload(request: Request, _: Admin) -> ModelList:
    """Reads ``models.toml`` at once and says what is in force.

    Every process of the API and every worker looks by itself within a second; this tells whether they will take it.
    """
    state = of(request)
    if not state.models.look():
        raise Conflict("models.toml is not valid, and the models stay as they were: the log says why")
    return _list(state)


def _shown(spec: ModelSpec) -> Model | None:
    try:
        context, revision = spec.context, spec.made_by
        created = int((spec.folder / "config.json").stat().st_mtime)
    except ConfigurationError as error:  # one that is not here hides none of the others
        log.error("%s", error)
        return None
    return Model(
        id=spec.name,
        created=created,
        owned_by=spec.engine,
        revision=revision,
        kinds=list(spec.kinds),
        quantization=spec.quantization,
        context=context,
        languages=[list(pair) for pair in spec.translate.pairs] if spec.translate else [],
    )
