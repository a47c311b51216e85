"""What OpenAPI cannot see by itself: bodies that are read by hand, examples, and problem details."""

import json
import re
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from api.jobs.schema import JOB_FORMS
from api.openai import document as openai_document
from api.openai import error as openai_error

DESCRIPTION = """
Every error is problem details (RFC 9457), also those of no operation: 404 for a path and 405 for a method that there is
not. Below /v1/files, /v1/batches and the other paths of OpenAI's API they have OpenAI's form. No error repeats what was
sent, and a refused job leaves nothing behind.

JSON is read strictly: UTF-8, no unknown fields, no number that is out of range, at most 200 levels deep. Of a name that
stands twice in one object the last value counts.

Every request but those of health carries an API key, as Authorization: Bearer lw_..., which belongs to a tenant: it
sees what is the tenant's, and what is another's is a 404. What a key may do is in its scopes: submit, read, webhooks,
and admin, which is all of them.

Bodies may be compressed by gzip or zstd, as Content-Encoding says; limits hold for what they are unpacked.

A request that makes a job may carry an Idempotency-Key and be sent again when its answer was lost: the same request
under the same key is answered with the same job for as long as that is kept, another one with 422. While as much
waits as may wait, jobs are refused with 429 before they are read. The figures behind that are about a second old, so
a limit may be overrun a little, and a job that comes while there is room is taken whole.
"""

_PROBLEM_SCHEMA = {
    "title": "Problem",
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "field": {"type": "string", "description": "The path of what is wrong, such as items[3].text."},
        "index": {"type": "integer", "description": "The item's, if it is one."},
    },
}

#: What it means, its title, and an example's detail and further members.
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
        "A form or an encoding that is not read here; of an encoding Accept-Encoding names those that are",
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
        "As much waits as may wait: try again after Retry-After seconds",
        "too busy",
        "your jobs have 1000000000 or more tokens waiting, which is the limit",
        {},
    ),
    503: ("A server is away: try again after Retry-After seconds", "unavailable", "the database is away", {}),
    507: ("There is no room: try again after Retry-After seconds", "unavailable", "the database is full", {}),
    "default": ("Any other error", "internal error", "this is a mistake of ours", {}),
}


def problems(*statuses: int | str) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that may answer with these, or with any other error."""
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


#: What a request with a key may be answered with, whatever it asks for.
_OF_KEYS = {
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
}


def add_answers_to_keys(schema: dict[str, Any]) -> None:
    """Adds to each operation that wants a key what comes of keys, where it has no such answer of its own."""
    for path, operations in schema["paths"].items():
        answers = openai_document.OF_KEYS if openai_error.covers(path) else _OF_KEYS
        more = {str(status): answer for status, answer in answers.items()}
        for operation in operations.values():
            if operation.get("security"):
                operation["responses"] = dict(sorted((more | operation["responses"]).items()))


def missing(what: str) -> dict[int | str, dict[str, Any]]:
    """The 404 of what is no job."""
    return {404: _problem(404, (f"There is no such {what}", "not found", f"there is no such {what}", {}))}


def conflict(description: str, detail: str) -> dict[int | str, dict[str, Any]]:
    """A 409 of its own."""
    return {409: _problem(409, (description, "conflict", detail, {}))}


NOT_RELOADED = conflict(
    "models.toml is not valid, or names a revision that cannot take its place",
    "models.toml is not valid, and the models stay as they were: the log says why",
)

ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "The job was taken",
        "headers": {
            "Location": {"schema": {"type": "string"}, "description": "The job's path."},
            "Idempotent-Replayed": {
                "schema": {"type": "string", "enum": ["true"]},
                "description": "There if the same request, by its Idempotency-Key, had made this job before.",
            },
        },
    }
}

_CSV_RESULTS_EXAMPLE = (
    "index,id,status,output.text,output.finish_reason,error.code,error.message,usage.input_tokens,usage.output_tokens,"
    "model_revision\r\n0,a,succeeded,I ate an apple.,stop,,,10,6,2026-11\r\n"
)

RESULTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One JSON object a line, or a table with a row for each",
        "headers": {
            "lengthwise-job-state": {
                "schema": {"type": "string"},
                "description": "The job's state as the answer began. Of an ended job these are all results.",
            }
        },
        "content": {
            "application/x-ndjson": {
                "schema": {"type": "string"},
                "example": '{"index":0,"id":"a","status":"succeeded","output":{"text":"I ate an apple.",'
                '"finish_reason":"stop"},"usage":{"input_tokens":10,"output_tokens":6},"model_revision":"2026-11"}\n',
            },
            "text/csv": {"schema": {"type": "string"}, "example": _CSV_RESULTS_EXAMPLE},
            "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}

_EXAMPLES = {
    "translate": {"kind": "translate", "source": "zh", "target": "en", "beams": 4, "items": ["我吃了一个苹果。"]},
    "moderate": {
        "kind": "moderate",
        "items": [{"id": "c-1", "text": "What a lovely lamp!", "metadata": {"page": 7}}],
    },
    "chat": {
        "kind": "chat",
        "temperature": 0.7,
        "items": [{"messages": [{"role": "user", "content": "Hello"}]}],
    },
    "embed": {"kind": "embed", "items": ["What a lovely lamp!"]},
    "generate": {"kind": "generate", "max_new_tokens": 64, "stop": ["\n"], "items": ["Once upon a time"]},
}

_NDJSON_EXAMPLE = '{"kind":"translate","source":"zh","target":"en"}\n{"id":"a","text":"我吃了一个苹果。"}\n'


def _schemas() -> dict[str, Any]:
    """The components; each kind's item under a name of its own rather than its module's path."""
    forms: list[type[BaseModel]] = [*JOB_FORMS.values(), *openai_document.FORMS]
    _, found = models_json_schema(
        [(form, "validation") for form in forms],
        ref_template="#/components/schemas/{model}",
    )
    renamed = re.sub(
        r"lengthwise__kinds__(\w+?)__Item", lambda match: f"{match[1].capitalize()}Item", json.dumps(found["$defs"])
    )
    return {"Problem": _PROBLEM_SCHEMA, **json.loads(renamed)}


SCHEMAS = _schemas()

SUBMIT = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [{"$ref": f"#/components/schemas/{form.__name__}"} for form in JOB_FORMS.values()]},
                "examples": {name: {"value": value} for name, value in _EXAMPLES.items()},
            },
            "application/x-ndjson": {"schema": {"type": "string"}, "example": _NDJSON_EXAMPLE},
            "text/csv": {"schema": {"type": "string"}, "example": "id,text\r\na,我吃了一个苹果。\r\n"},
            "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
