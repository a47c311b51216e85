"""The models that jobs may name."""

from fastapi import APIRouter, Request

from api.schema import Model, ModelList
from api.state import of

router = APIRouter(prefix="/v1/models", tags=["models"])


@router.get("", response_model=ModelList)
def models(request: Request) -> ModelList:
    """What ``models.toml`` names."""
    return ModelList(
        data=[
            Model(
                id=spec.name,
                revision=spec.revision,
                kinds=list(spec.kinds),
                quantization=spec.quantization,
                context=spec.context,
                languages=list(spec.translate.pairs) if spec.translate else [],
            )
            for spec in of(request).catalog.models.values()
        ]
    )
