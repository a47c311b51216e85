"""What OpenAPI cannot see of OpenAI's routes by itself: their errors, their request forms, and examples."""

from typing import Any

from pydantic import BaseModel

from api.openai.schema import ErrorAnswer, NewBatch
from lengthwise.kinds.openai import ENDPOINTS
from lengthwise.kinds.openai.line import LineKind

#: By status: what it means, then the message, type, param and code of an example.
_MEANINGS: dict[int | str, tuple[str, str, str, str | None, str | None]] = {
    400: ("The request is wrong", "must be batch", "invalid_request_error", "purpose", None),
    401: ("No key, or one that is unknown, wrong, expired or revoked",
          "a valid API key is needed, as Authorization: Bearer lw_...", "authentication_error", None,
          "invalid_api_key"),
    403: ("The key may not do this", "this API key may not do this", "permission_error", None, None),
    404: ("There is no such thing", "there is no such batch", "invalid_request_error", None, None),
    409: ("Not in this state; with the code model_unusable, the model cannot be served now", "the batch has ended",
          "invalid_request_error", None, None),
    413: ("The body is over its limit", "may have at most 209715200 bytes", "invalid_request_error", "file",
          "request_too_large"),
    415: ("Neither JSON nor a form", "the content type is application/json", "invalid_request_error", None, None),
    429: ("Too much work waits: try again after Retry-After seconds",
          "all jobs together have 2000000000 or more tokens waiting, which is the limit", "rate_limit_error", None,
          "rate_limit_exceeded"),
    503: ("A server cannot be reached: try again after Retry-After seconds", "the database is away", "server_error",
          None, None),
    504: ("There was no answer in time, and the request was cancelled", "there was no answer within 60 seconds",
          "server_error", None, "timeout"),
    507: ("There is no room: try again after Retry-After seconds", "the database is full", "server_error", None, None),
    "default": ("Any other error", "this is a mistake of ours", "server_error", None, None),
}  # fmt: skip


def errors(*statuses: int | str) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that may answer with these, or with any other error."""
    return {status: _error(status) for status in (*statuses, "default")}


def _error(status: int | str) -> dict[str, Any]:
    description, message, kind, param, code = _MEANINGS[status]
    example = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    answer: dict[str, Any] = {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}, "example": example}},
    }
    if status == 401:
        answer["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "Bearer."}}
    if status in (429, 503, 507):
        answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "In seconds."}}
    return answer


def complete_examples(schema: dict[str, Any]) -> None:
    """Puts the nulls back into the examples of errors: FastAPI drops them, but ``ErrorAnswer`` requires the fields."""
    operations = [operation for path in schema["paths"].values() for operation in path.values()]
    for answer in (answer for operation in operations for answer in operation["responses"].values()):
        error = answer.get("content", {}).get("application/json", {}).get("example", {}).get("error")
        if error is not None:
            error |= {"param": error.get("param"), "code": error.get("code")}


#: The ``responses`` of a router whose requests carry a key.
KEY_ERRORS = errors(401, 403, 429, 503)

UPLOAD = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "purpose": {"type": "string", "enum": ["batch"]},
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "JSONL, one request a line: custom_id, method, url, body.",
                        },
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2592000},
                    },
                }
            }
        },
    }
}

CONTENT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file's bytes. The output of a batch has one line for each request",
        "content": {"application/jsonl": {"schema": {"type": "string"}}},
    }
}

_BATCH_EXAMPLE = {
    "input_file_id": "file-0198c0de000000000000000000000000",
    "endpoint": "/v1/chat/completions",
    "completion_window": "24h",
    "metadata": {"run": "7"},
}


def body(schema: str, example: dict[str, Any]) -> dict[str, Any]:
    """The ``openapi_extra`` of a route that reads its JSON by hand."""
    content = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


CREATE = body("NewBatch", _BATCH_EXAMPLE)


def request_body(kind: LineKind) -> dict[str, Any]:
    """The ``openapi_extra`` of the route that answers one request of this kind."""
    return body(_form(kind).__name__, kind.example)


def _form(kind: LineKind) -> type[BaseModel]:
    form = kind.item_type.model_fields["body"].annotation
    assert isinstance(form, type) and issubclass(form, BaseModel)  # noqa: S101 — what lines are made of
    return form


ANSWERS: dict[str, dict[int | str, dict[str, Any]]] = {
    kind.name: {
        200: {
            "description": "The answer, as OpenAI's API has it",
            "content": {"application/json": {"schema": {"type": "object"}, "example": kind.example_answer}},
        }
    }
    for kind in ENDPOINTS.values()
}

FORMS: tuple[type[BaseModel], ...] = (ErrorAnswer, NewBatch, *map(_form, ENDPOINTS.values()))
