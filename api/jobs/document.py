"""What OpenAPI cannot see of jobs by itself: bodies that are read by hand, results, and examples."""

from typing import Any

from api.jobs.schema import JOB_FORMS
from lengthwise.kinds import KINDS
from lengthwise.kinds.result_line import WARNINGS

ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "The job was taken",
        "headers": {
            "Location": {"schema": {"type": "string"}, "description": "The job's path."},
            "Idempotent-Replayed": {
                "schema": {"type": "string", "enum": ["true"]},
                "description": "Present if the same request under this Idempotency-Key made this job before.",
            },
        },
    }
}

_CSV_RESULTS_EXAMPLE = (
    "index,id,status,output.text,output.finish_reason,warnings,error.code,error.message,usage.input_tokens,"
    "usage.output_tokens,model_revision\r\n0,a,succeeded,I ate an apple.,stop,,,,10,6,2026-11\r\n"
)

_WARNINGS = ", ".join(f"`{code}` ({meaning})" for code, meaning in WARNINGS.items())

RESULTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "One JSON object a line, or a table with one row for each result. A result whose output may be "
        f"poor has `warnings`, a list of these codes: {_WARNINGS}.",
        "headers": {
            "lengthwise-job-state": {
                "schema": {"type": "string"},
                "description": "The job's state when the answer began. If the job had ended, these are all results.",
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

_NDJSON_EXAMPLE = '{"kind":"translate","source":"zh","target":"en"}\n{"id":"a","text":"我吃了一个苹果。"}\n'


SUBMIT = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"oneOf": [{"$ref": f"#/components/schemas/{form.__name__}"} for form in JOB_FORMS.values()]},
                "examples": {name: {"value": {"kind": name} | KINDS[name].example} for name in JOB_FORMS},
            },
            "application/x-ndjson": {"schema": {"type": "string"}, "example": _NDJSON_EXAMPLE},
            "text/csv": {"schema": {"type": "string"}, "example": "id,text\r\na,我吃了一个苹果。\r\n"},
            "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}
