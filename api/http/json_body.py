"""Small JSON bodies, read strictly and only after the key was checked: FastAPI itself would read them first."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import HTTPException, Request
from pydantic import ValidationError

from api.http import body
from api.problem import invalid
from lengthwise.errors import InvalidInput, TooLarge
from lengthwise.kinds.kind import RequestPart

_MAX_BYTES = 2**16

Form = TypeVar("Form", bound=RequestPart)


def documented(form: type[RequestPart], example: dict[str, Any], *, may_be_empty: bool = False) -> dict[str, Any]:
    """The ``openapi_extra`` of a route that reads this form."""
    content = {"application/json": {"schema": form.model_json_schema(), "example": example}}
    return {"requestBody": {"required": not may_be_empty, "content": content}}


async def read(request: Request, form: type[Form], *, may_be_empty: bool = False) -> Form:
    """The body as this form. Raises ``InvalidInput`` and ``TooLarge``; another content type than JSON is a 415."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > _MAX_BYTES:
            raise TooLarge(f"a body may have at most {_MAX_BYTES} bytes", "body")
    if not data and may_be_empty:
        return form()
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "the content type is application/json")
    value = body.parse_whole(bytes(data))
    if not isinstance(value, dict):
        raise InvalidInput("the body is a JSON object", "body")
    try:
        return form.model_validate(value)
    except ValidationError as error:
        found = invalid(error)
        raise InvalidInput(str(found), found.field or "request") from None


def reader(form: type[Form], *, may_be_empty: bool = False) -> Callable[[Request], Awaitable[Form]]:
    """``read`` as a dependency. List it after the dependency that checks the key."""

    async def reading(request: Request) -> Form:
        return await read(request, form, may_be_empty=may_be_empty)

    return reading
