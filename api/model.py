"""The models that jobs may name."""

import logging

from fastapi import APIRouter, Request

from api import document
from api.schema import Model, ModelList
from api.state import of
from lengthwise.catalog import ModelSpec
from lengthwise.errors import ConfigurationError

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", response_model=ModelList, responses=document.problems())
def models(request: Request) -> ModelList:
    """What ``models.toml`` names and this machine has."""
    shown = [_shown(spec) for spec in of(request).catalog.models.values()]
    return ModelList(data=[model for model in shown if model is not None])


def _shown(spec: ModelSpec) -> Model | None:
    try:
        context = spec.context
    except ConfigurationError as error:  # one that is not here hides none of the others
        log.error("%s", error)
        return None
    return Model(
        id=spec.name,
        revision=spec.revision,
        kinds=list(spec.kinds),
        quantization=spec.quantization,
        context=context,
        languages=list(spec.translate.pairs) if spec.translate else [],
    )
