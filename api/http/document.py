"""What OpenAPI cannot see by itself: problem details, and the schemas of bodies that are read by hand."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

PROBLEM_SCHEMA = {
    "title": "Problem",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "field": {"type": "string", "description": "The path of what is wrong, such as items[3].text."},
        "index": {"type": "integer", "description": "The index of the item, if an item is wrong."},
    },
}

#: By status: the description, the title, and the detail and further members of an example.
_MEANINGS: dict[int | str, tuple[str, str, str, dict[str, Any]]] = {
    400: (
        "The body is not JSON",
        "invalid input",
        "not valid JSON: trailing comma at line 1 column 9",
        {"field": "body"},
    ),
    401: (
        "No key, or one that is unknown, wrong, expired or revoked",
        "unauthorized",
        "a valid API key is needed, as Authorization: Bearer lw_...",
        {},
    ),
    403: ("The key may not do this", "forbidden", "this API key may not do this", {}),
    404: ("There is no such thing, or it is another tenant's", "not found", "there is no such job", {}),
    409: ("Not in its present state: the detail says why", "conflict", "no item of the job failed", {}),
    413: (
        "The body, a line, a text or the number of items is over its limit",
        "too large",
        "may have at most 100000 characters",
        {"field": "items[3].text", "index": 3},
    ),
    415: (
        "A format or an encoding that is not supported; Accept-Encoding names the supported encodings",
        "unsupported media type",
        "a body is sent as it is, or in one of these encodings: gzip, zstd",
        {},
    ),
    422: (
        "A field is wrong",
        "invalid input",
        "has an unknown field; known here: id, metadata, text",
        {"field": "items[3]", "index": 3},
    ),
    429: (
        "Too much work waits: try again after Retry-After seconds",
        "too busy",
        "your jobs have 1000000000 or more tokens waiting, which is the limit",
        {},
    ),
    503: ("A server cannot be reached: try again after Retry-After seconds", "unavailable", "the database is away", {}),
    507: ("There is no room: try again after Retry-After seconds", "unavailable", "the database is full", {}),
    "default": ("Any other error", "internal error", "this is a mistake of ours", {}),
}


def problems(*statuses: int | str) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that may answer with these statuses, or with any other error."""
    return {status: _problem(status) for status in (*statuses, "default")}


def _problem(status: int | str, meaning: tuple[str, str, str, dict[str, Any]] | None = None) -> dict[str, Any]:
    description, title, detail, more = meaning or _MEANINGS[status]
    number = 500 if isinstance(status, str) else status
    example = {"type": f"urn:lengthwise:problem:{title.replace(' ', '-')}", "title": title, "status": number}
    answer: dict[str, Any] = {
        "description": description,
        "content": {
            "application/problem+json": {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": example | {"detail": detail} | more,
            }
        },
    }
    if status == 401:
        answer["headers"] = {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "Bearer."}}
    if status in (429, 503, 507):
        answer["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "In seconds."}}
    return answer


#: The ``responses`` of a router whose requests carry a key.
KEY_ERRORS: dict[int | str, dict[str, Any]] = {
    401: _problem(401),
    403: _problem(403),
    429: _problem(
        429,
        (
            "More requests than the tenant may make in a minute: try again after Retry-After seconds",
            "too busy",
            "your requests are more than 600 a minute, which is the limit",
            {},
        ),
    ),
    503: _problem(503),
    "default": _problem("default"),
}


def missing(what: str) -> dict[int | str, dict[str, Any]]:
    """A 404 that names what is missing, for routes of other things than jobs."""
    return {404: _problem(404, (f"There is no such {what}", "not found", f"there is no such {what}", {}))}


def conflict(description: str, detail: str) -> dict[int | str, dict[str, Any]]:
    """A 409 with its own description and detail."""
    return {409: _problem(409, (description, "conflict", detail, {}))}


#: The 409 of a request for a model that cannot be served.
UNUSABLE: dict[int | str, dict[str, Any]] = {
    409: _problem(
        409,
        (
            "The model cannot be served now: the detail says why, and what mends it",
            "model unusable",
            "model qwen cannot be served: it is not on this machine. To mend it: hf download a/qwen --revision main",
            {"field": "model"},
        ),
    )
}


def schemas(forms: Iterable[type[BaseModel]]) -> dict[str, Any]:
    """The schemas of these forms by name."""
    _, found = models_json_schema([(form, "validation") for form in forms], ref_template="#/components/schemas/{model}")
    schemas: dict[str, Any] = found["$defs"]
    return schemas
