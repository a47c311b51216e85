"""Errors in OpenAI's form. Its SDKs read their code, param and type."""

from collections.abc import Mapping

from fastapi.responses import JSONResponse

from api.problem import Problem

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {401: "invalid_api_key", 413: "request_too_large", 429: "rate_limit_exceeded"}


def from_problem(problem: Problem) -> JSONResponse:
    """The answer to a request on a path of OpenAI's API that failed."""
    return answer(problem.status, problem.detail, problem.field, problem.code, problem.headers)


def answer(
    status: int, message: str, param: str | None, code: str | None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """An error in OpenAI's form. SDKs choose the exception by its status: 422 becomes 400, an unknown model 404."""
    if code == "model_not_found":
        status = 404
    if status == 422:
        status = 400
    shown = {
        "message": message,
        "type": _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error"),
        "param": param,
        "code": code or _CODES.get(status),
    }
    # Without this header the SDK would repeat the request twice, in vain.
    stop = {"x-should-retry": "false"} if status == 409 else {}
    return JSONResponse({"error": shown}, status, {**stop, **(headers or {})})
