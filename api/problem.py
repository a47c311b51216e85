"""Every error as RFC 9457 problem details. None of them echoes what was sent."""

import logging
import re
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from lengthwise.errors import Conflict, InvalidInput, NotFound, TooLarge, Unavailable

log = logging.getLogger(__name__)

#: A field's name may be shown if it looks like one; anything else a caller put in its place may not.
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")


def problem(status: int, title: str, detail: str, **more: Any) -> JSONResponse:
    """An application/problem+json answer; ``field`` and ``index`` are left out where there are none."""
    headers = more.pop("headers", None)
    body = {
        "type": f"urn:lengthwise:problem:{title.replace(' ', '-')}",
        "title": title,
        "status": status,
        "detail": detail,
    }
    body |= {key: value for key, value in more.items() if value is not None}
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def invalid(error: ValidationError, at: str = "", index: int | None = None) -> InvalidInput:
    """The first of pydantic's complaints, with its path under ``at`` and without the value."""
    first = error.errors(include_input=False, include_url=False)[0]
    return InvalidInput(_message(first), _path(at, first["loc"]), index)


def _message(first: ErrorDetails) -> str:
    if first["type"] == "extra_forbidden":
        return "there is no such field here"
    return first["msg"].removeprefix("Value error, ")


def _path(at: str, location: tuple[int | str, ...]) -> str:
    path = at
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += ("." if path else "") + (part if _NAME.fullmatch(part) else "(unnamed)")
    return path


def install(app: FastAPI) -> None:
    """Registers a handler for each of our errors and for those of the framework."""

    @app.exception_handler(TooLarge)
    def too_large(_: Request, error: TooLarge) -> JSONResponse:
        return problem(413, "too large", str(error), field=error.field, index=error.index)

    @app.exception_handler(InvalidInput)
    def invalid_input(_: Request, error: InvalidInput) -> JSONResponse:
        status = 400 if error.field == "body" else 422
        return problem(status, "invalid input", str(error), field=error.field, index=error.index)

    @app.exception_handler(NotFound)
    def not_found(_: Request, error: NotFound) -> JSONResponse:
        return problem(404, "not found", str(error))

    @app.exception_handler(Conflict)
    def conflict(_: Request, error: Conflict) -> JSONResponse:
        return problem(409, "conflict", str(error))

    @app.exception_handler(Unavailable)
    def unavailable(_: Request, error: Unavailable) -> JSONResponse:
        status = 507 if error.full else 503
        return problem(status, "unavailable", str(error), headers={"Retry-After": str(error.retry_after)})

    @app.exception_handler(RequestValidationError)
    def bad_parameter(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return problem(422, "invalid input", first["msg"], field=_path("", first["loc"][1:]))

    @app.exception_handler(HTTPException)
    def of_the_framework(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail).lower(), str(error.detail), headers=error.headers)

    @app.exception_handler(Exception)
    def unexpected(_: Request, error: Exception) -> JSONResponse:
        log.error("unexpected %s", type(error).__name__)
        return problem(500, "internal error", "this is a mistake of ours; nothing was written")
