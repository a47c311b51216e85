"""Every error as RFC 9457 problem details. None of them echoes what was sent."""

import logging
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.openai import error as openai_error
from lengthwise.errors import (
    ConfigurationError,
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    TooBusy,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnknownName,
)

log = logging.getLogger(__name__)

#: In place of pydantic's words that speak of Python or of patterns.
_MESSAGES = {
    "model_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
    "list_type": "must be a list",
    "string_pattern_mismatch": "must not contain the character U+0000",
    "union_tag_invalid": "is of a type that is not supported here",
    "union_tag_not_found": "names no type",
}


class _Problem(JSONResponse):
    """Problem details; on the OpenAI surface, OpenAI's form of the same."""

    def __init__(self, body: dict[str, Any], headers: Mapping[str, str] | None, code: str | None) -> None:
        super().__init__(body, body["status"], headers, media_type="application/problem+json")
        self._own, self._code, self._more = body, code, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if openai_error.covers(scope["path"]):
            own = self._own
            answer = openai_error.answer(own["status"], own["detail"], own.get("field"), self._code, self._more)
            await answer(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def problem(status: int, title: str, detail: str, **more: Any) -> JSONResponse:
    """An application/problem+json answer; ``field`` and ``index`` are left out where there are none.

    ``code`` is shown on the OpenAI surface alone.
    """
    headers, code = more.pop("headers", None), more.pop("code", None)
    body = {
        "type": f"urn:lengthwise:problem:{title.replace(' ', '-')}",
        "title": title,
        "status": status,
        "detail": detail,
    }
    body |= {key: value for key, value in more.items() if value is not None}
    return _Problem(body, headers, code)


def invalid(error: ValidationError, at: str = "", index: int | None = None) -> InvalidInput:
    """The first of pydantic's complaints, with its path under ``at`` and without the value."""
    first = error.errors(include_input=False, include_url=False)[0]
    return InvalidInput(message(first), path(at, first["loc"]), index)


def message(first: ErrorDetails) -> str:
    return _MESSAGES.get(first["type"]) or first["msg"].removeprefix("Value error, ")


def path(at: str, location: tuple[int | str, ...]) -> str:
    """Names in a location are always ours: a field that is not there is complained of at its parent."""
    found = at
    for part in location:
        found += f"[{part}]" if isinstance(part, int) else f".{part}" if found else part
    return found


class Shield:
    """The outermost layer: an error that nobody expected becomes a 500 and one line of log with where it arose.

    Its message goes nowhere: it may hold what the caller sent. The server would log it, so it is not raised again.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False
        named = f"req_{uuid4().hex}"

        async def watched(message: Message) -> None:
            nonlocal has_started
            has_started = True
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-request-id"] = named
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            log.info("the caller went away before the body was read")
        except Exception as error:
            if scope["type"] != "http":
                raise
            where = "".join(traceback.format_tb(error.__traceback__, limit=-8))
            log.error("%s: unexpected %s%s\n%s", named, type(error).__name__, " while answering" * has_started, where)
            if not has_started:  # an answer that has begun is broken off: the server closes the connection
                await problem(500, "internal error", "this is a mistake of ours")(scope, receive, watched)


def install(app: FastAPI) -> None:
    """Registers a handler for each of our errors and for those of the framework."""
    app.add_middleware(Shield)

    @app.exception_handler(TooLarge)
    def too_large(_: Request, error: TooLarge) -> JSONResponse:
        return problem(413, "too large", str(error), field=error.field, index=error.index)

    @app.exception_handler(InvalidInput)
    def invalid_input(_: Request, error: InvalidInput) -> JSONResponse:
        status = 400 if error.field == "body" else 422
        code = "model_not_found" if isinstance(error, UnknownName) and error.field == "model" else None
        return problem(status, "invalid input", str(error), field=error.field, index=error.index, code=code)

    @app.exception_handler(Unauthorized)
    def unauthorized(_: Request, error: Unauthorized) -> JSONResponse:
        return problem(401, "unauthorized", str(error), headers={"WWW-Authenticate": "Bearer"})

    @app.exception_handler(Forbidden)
    def forbidden(_: Request, error: Forbidden) -> JSONResponse:
        return problem(403, "forbidden", str(error))

    @app.exception_handler(NotFound)
    def not_found(_: Request, error: NotFound) -> JSONResponse:
        return problem(404, "not found", str(error))

    @app.exception_handler(Conflict)
    def conflict(_: Request, error: Conflict) -> JSONResponse:
        return problem(409, "conflict", str(error))

    @app.exception_handler(TooBusy)
    def too_busy(_: Request, error: TooBusy) -> JSONResponse:
        return problem(429, "too busy", str(error), headers={"Retry-After": str(error.retry_after)})

    @app.exception_handler(Unavailable)
    def unavailable(_: Request, error: Unavailable) -> JSONResponse:
        status = 507 if error.full else 503
        return problem(status, "unavailable", str(error), headers={"Retry-After": str(error.retry_after)})

    @app.exception_handler(ConfigurationError)
    def misconfigured(_: Request, error: ConfigurationError) -> JSONResponse:
        log.error("%s", error)  # it names files and settings of ours
        detail = "this installation is not set up for that now; its log says why"
        return problem(503, "unavailable", detail, headers={"Retry-After": "60"})

    @app.exception_handler(RequestValidationError)
    def bad_parameter(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return problem(422, "invalid input", first["msg"], field=path("", first["loc"][1:]))

    @app.exception_handler(HTTPException)
    def of_the_framework(_: Request, error: HTTPException) -> JSONResponse:
        title = HTTPStatus(error.status_code).phrase.lower()
        return problem(error.status_code, title, str(error.detail), headers=error.headers)
