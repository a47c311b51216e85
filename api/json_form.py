"""Small JSON bodies of requests, read as strictly as a job's."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from api import body
from api.problem import invalid
from lengthwise.errors import InvalidInput

#: Of a body that describes one thing.
_LIMIT = 65_536

Form = TypeVar("Form", bound=BaseModel)


def reader(form: type[Form], *, may_be_empty: bool = False) -> Callable[[Request], Awaitable[Form]]:
    """A dependency that gives the request's body as ``form``. Raises ``InvalidInput`` and ``TooLarge``."""

    async def read(request: Request) -> Form:
        async with body.spooled(request, _LIMIT) as file:
            return await run_in_threadpool(_parsed, file.read())

    def _parsed(data: bytes) -> Form:
        value = {} if may_be_empty and not data else body.parse(data)
        if not isinstance(value, dict):
            raise InvalidInput("the body is a JSON object", "body")
        try:
            return form.model_validate(value)
        except ValidationError as error:
            raise invalid(error) from None

    return read


def documented(form: type[BaseModel], example: dict[str, Any], *, is_required: bool = True) -> dict[str, Any]:
    """The ``openapi_extra`` of a route that reads ``form``."""
    schema = {"$ref": f"#/components/schemas/{form.__name__}"}
    content = {"application/json": {"schema": schema, "example": example}}
    return {"requestBody": {"required": is_required, "content": content}}
