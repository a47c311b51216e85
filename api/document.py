"""What OpenAPI cannot see by itself: bodies that are read by hand, examples, and problem details."""

from typing import Any

from pydantic.json_schema import models_json_schema

from api.schema import JOB_FORMS

_PROBLEM = {
    "description": "Problem details (RFC 9457)",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "detail"],
                "properties": {
                    "type": {"type": "string"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "field": {
                        "type": "string",
                        "description": "The path of what is wrong, such as items[3].text.",
                    },
                    "index": {"type": "integer", "description": "The item's, if it is one."},
                },
            },
            "example": {
                "type": "urn:lengthwise:problem:invalid-input",
                "title": "invalid input",
                "status": 422,
                "detail": "there is no such field here",
                "field": "items[3].txt",
                "index": 3,
            },
        }
    },
}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return dict.fromkeys(statuses, _PROBLEM)


COMMON = _problems(404, 405, 422, 503)
REFUSED = _problems(400, 413, 507)
RESULTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One JSON object a line",
        "content": {
            "application/x-ndjson": {
                "schema": {"type": "string"},
                "example": '{"index":0,"id":"a","status":"succeeded","output":{"text":"I ate an apple.",'
                '"finish_reason":"stop"},"usage":{"input_tokens":10,"output_tokens":6}}\n',
            }
        },
    }
}

_EXAMPLES = {
    "translate": {"kind": "translate", "source": "zh", "target": "en", "items": ["我吃了一个苹果。"]},
    "moderate": {
        "kind": "moderate",
        "items": [{"id": "c-1", "text": "What a lovely lamp!", "metadata": {"page": 7}}],
    },
    "chat": {
        "kind": "chat",
        "temperature": 0.7,
        "items": [{"messages": [{"role": "user", "content": "Hello"}]}],
    },
    "generate": {"kind": "generate", "max_new_tokens": 64, "stop": ["\n"], "items": ["Once upon a time"]},
}

_NDJSON_EXAMPLE = '{"kind":"translate","source":"zh","target":"en"}\n{"id":"a","text":"我吃了一个苹果。"}\n'


def _schemas() -> dict[str, Any]:
    _, found = models_json_schema(
        [(form, "validation") for form in JOB_FORMS.values()], ref_template="#/components/schemas/{model}"
    )
    schemas: dict[str, Any] = found["$defs"]
    return schemas


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
        },
    }
}
