"""Structured output with schemas of strangers: what is too large or too costly fails by name, and alone."""

from typing import Any

import pytest
from openai import BadRequestError, OpenAI

from lengthwise.errors import Unanswerable
from lengthwise.kinds.openai import schema
from tests.openai.calls import chat_line, conserved, created, jsonl, validated
from tests.openai.conftest import RunWorker
from tests.unit.kinds.test_schemas import CANARY, chain

LIMIT = "may have at most 10000 subschemas"
GOOD = {"type": "object", "properties": {"a": {"type": "integer"}}}


def asked(given: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": given}}


@pytest.mark.parametrize(
    "given",
    [chain(45), chain(17) | {"unevaluatedProperties": False}, {"not": chain(30, "oneOf")["$defs"]["d0"], **chain(30)}],
)
def test_a_schema_that_expands_without_measure_is_refused_before_anything_runs(sdk: OpenAI, given: Any) -> None:
    with pytest.raises(BadRequestError) as caught:
        sdk.chat.completions.create(
            model="echo",
            messages=[{"role": "user", "content": CANARY}],
            response_format=asked(given),  # type: ignore[call-overload]
        )
    assert LIMIT in str(caught.value)
    assert CANARY not in str(caught.value)
    assert caught.value.param == "response_format.json_schema.schema"
    with pytest.raises(BadRequestError) as of_responses:
        text = {"format": {"type": "json_schema", "name": "x", "schema": given}}
        sdk.responses.create(model="echo", input=CANARY, text=text)  # type: ignore[call-overload]
    assert LIMIT in str(of_responses.value)


def test_a_line_with_such_a_schema_is_named_by_its_number(sdk: OpenAI) -> None:
    lines = [chat_line("good", "abc"), chat_line("bad", "abc")]
    lines[1]["body"]["response_format"] = asked(chain(45))
    batch = validated(sdk, created(sdk, jsonl(lines)))
    assert batch.status == "failed"
    assert batch.errors and batch.errors.data
    assert [(error.line, error.param) for error in batch.errors.data] == [(2, "response_format.json_schema.schema")]


def test_an_answer_that_takes_too_long_to_check_fails_its_own_request_alone(
    sdk: OpenAI, run_worker: RunWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = schema.is_met

    def is_met(form: Any, text: str) -> bool:
        if form is not None:
            raise Unanswerable("schema_too_costly")
        return checked(form, text)

    monkeypatch.setattr(schema, "is_met", is_met)
    lines = [chat_line("a", "abc"), chat_line("costly", "def"), chat_line("b", "ghi")]
    lines[1]["body"]["response_format"] = asked(GOOD)
    batch = validated(sdk, created(sdk, jsonl(lines)))
    run_worker()
    output, errors = conserved(sdk, sdk.batches.retrieve(batch.id), ["a", "costly", "b"])
    assert set(output) == {"a", "b"}
    assert errors["costly"]["response"]["status_code"] == 422
    assert errors["costly"]["response"]["body"]["error"]["code"] == "schema_too_costly"
