"""/v1/models/{name}: one model, as OpenAI's SDKs ask for it."""

from fastapi import APIRouter, Request

from api.access.auth import Reader
from api.admin.installation import shown_model
from api.jobs.schema import Model
from api.openai import document
from api.state import of
from lengthwise.errors import UnknownName

router = APIRouter(prefix="/v1/models", tags=["models"], responses=document.KEY_ERRORS)


@router.get("/{name:path}", response_model=Model, responses=document.errors(404))
def model(request: Request, _: Reader, name: str) -> Model:
    """One model, by its name."""
    state = of(request)
    catalog = state.catalog
    spec = catalog.models.get(name)
    if spec is None:
        raise UnknownName(f"no such model; known here: {', '.join(catalog.models)}", "model")
    return shown_model(state, spec)
