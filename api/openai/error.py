"""OpenAI's form of an error, which its SDKs read code, param and type from."""

from collections.abc import Mapping

from fastapi.responses import JSONResponse

from api.problem import Problem

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {401: "invalid_api_key", 413: "request_too_large", 429: "rate_limit_exceeded"}


def from_problem(problem: Problem) -> JSONResponse:
    """The form of every error of OpenAI's surface."""
    return answer(problem.status, problem.detail, problem.field, problem.code, problem.headers)


def answer(
    status: int, message: str, param: str | None, code: str | None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """What cannot be processed is a 400 here, and an unknown model a 404: SDKs type errors by their status."""
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
    # The SDK would send the same again twice, to the same end.
    stop = {"x-should-retry": "false"} if status == 409 else {}
    return JSONResponse({"error": shown}, status, {**stop, **(headers or {})})
