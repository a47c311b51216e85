"""Answers every error with RFC 9457 problem details, or in the form of its router. No error repeats what was sent."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.routing import Route

from lengthwise.errors import (
    ConfigurationError,
    Conflict,
    Forbidden,
    InvalidInput,
    ModelUnusable,
    NotFound,
    TooBusy,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnknownName,
)

log = logging.getLogger(__name__)

#: Replaces those of pydantic's messages that mention Python or patterns.
_MESSAGES = {
    "model_type": "must be a JSON object",
    "dict_type": "must be a JSON object",
    "list_type": "must be a list",
    "string_pattern_mismatch": "must not contain the character U+0000",
    "union_tag_invalid": "is of a type that is not supported here",
    "union_tag_not_found": "names no type",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One error. ``field`` and ``index`` say where it is; ``code`` is its short name in the forms that have one."""

    status: int
    title: str
    detail: str
    field: str | None = None
    index: int | None = None
    code: str | None = None
    headers: Mapping[str, str] | None = None


#: Makes the answer for a problem.
ErrorForm = Callable[[Problem], Response]


def details(problem: Problem) -> JSONResponse:
    """RFC 9457 problem details, the default form."""
    body: dict[str, Any] = {
        "type": f"urn:lengthwise:problem:{problem.title.replace(' ', '-')}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
    }
    place = {"field": problem.field, "index": problem.index}
    body |= {name: value for name, value in place.items() if value is not None}
    return JSONResponse(body, problem.status, problem.headers, media_type="application/problem+json")


class ErrorForms:
    """The form of each router's errors, including those of paths and methods that it does not have.

    A path belongs to the router whose routes share the longest fixed beginning with it. The errors of a path that
    belongs to no router are problem details.
    """

    def __init__(self) -> None:
        self._forms: dict[str, ErrorForm] = {}

    def add(self, router: APIRouter, form: ErrorForm) -> None:
        """Gives all errors of this router this form."""
        for route in router.routes:
            if isinstance(route, Route):
                self._forms[route.path.partition("{")[0]] = form

    def of(self, path: str) -> ErrorForm:
        begins = [begin for begin in self._forms if path == begin or path.startswith(f"{begin.rstrip('/')}/")]
        return self._forms[max(begins, key=len)] if begins else details


def invalid(error: ValidationError, at: str = "", index: int | None = None) -> InvalidInput:
    """Pydantic's first error, with its path below ``at`` and without the value."""
    first = error.errors(include_input=False, include_url=False)[0]
    return InvalidInput(message(first), path(at, first["loc"]), index)


def message(first: ErrorDetails) -> str:
    return _MESSAGES.get(first["type"]) or first["msg"].removeprefix("Value error, ")


def path(at: str, location: tuple[int | str, ...]) -> str:
    """All names in a location are known fields: pydantic reports an unknown field at its parent."""
    found = at
    for part in location:
        found += f"[{part}]" if isinstance(part, int) else f".{part}" if found else part
    return found


def install(app: FastAPI, forms: ErrorForms) -> None:
    """Registers a handler for each of our errors and for those of the framework."""
    for error, problem_of in _PROBLEMS.items():
        app.add_exception_handler(error, _handler(problem_of, forms))


def _handler(problem_of: Callable[[Any], Problem], forms: ErrorForms) -> Callable[[Request, Exception], Response]:
    def answer(request: Request, error: Exception) -> Response:
        return forms.of(request.scope["path"])(problem_of(error))

    return answer


def _invalid_input(error: InvalidInput) -> Problem:
    status = 400 if error.field == "body" else 422
    code = "model_not_found" if isinstance(error, UnknownName) and error.field == "model" else None
    return Problem(status, "invalid input", str(error), error.field, error.index, code)


def _misconfigured(error: ConfigurationError) -> Problem:
    log.error("%s", error)  # the caller must not see the names of files and settings
    detail = "this installation is not set up for that now; its log says why"
    return Problem(503, "unavailable", detail, headers={"Retry-After": "60"})


def _model_unusable(error: ModelUnusable) -> Problem:
    return Problem(409, "model unusable", str(error), "model", code="model_unusable")


def _bad_parameter(error: RequestValidationError) -> Problem:
    first = error.errors()[0]
    return Problem(422, "invalid input", first["msg"], path("", first["loc"][1:]))


def _http_exception(error: HTTPException) -> Problem:
    title = HTTPStatus(error.status_code).phrase.lower()
    return Problem(error.status_code, title, str(error.detail), headers=error.headers)


def _retry_headers(error: TooBusy | Unavailable) -> Mapping[str, str]:
    return {"Retry-After": str(error.retry_after)}


_PROBLEMS: dict[type[Exception], Callable[[Any], Problem]] = {
    TooLarge: lambda error: Problem(413, "too large", str(error), error.field, error.index),
    InvalidInput: _invalid_input,
    Unauthorized: lambda error: Problem(401, "unauthorized", str(error), headers={"WWW-Authenticate": "Bearer"}),
    Forbidden: lambda error: Problem(403, "forbidden", str(error)),
    NotFound: lambda error: Problem(404, "not found", str(error)),
    Conflict: lambda error: Problem(409, "conflict", str(error)),
    TooBusy: lambda error: Problem(429, "too busy", str(error), headers=_retry_headers(error)),
    Unavailable: lambda error: Problem(
        507 if error.full else 503, "unavailable", str(error), headers=_retry_headers(error)
    ),
    ModelUnusable: _model_unusable,
    ConfigurationError: _misconfigured,
    RequestValidationError: _bad_parameter,
    HTTPException: _http_exception,
}

#: The errors that have an answer of their own.
EXPECTED = tuple(_PROBLEMS)


def described(error: Exception) -> Problem:
    """The problem that an answer shows for one of the ``EXPECTED`` errors."""
    return next(_PROBLEMS[each](error) for each in type(error).__mro__ if each in _PROBLEMS)
