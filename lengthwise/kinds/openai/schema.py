"""Structured output: an answer is checked against the schema in its line, and generated again if it does not match.

The prompt quotes the schema, since the engine cannot force an answer to follow it.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import from_json, to_json

from lengthwise.errors import Unanswerable
from lengthwise.kinds.kind import CHECKED, Decoding, RequestPart, Text, finite
from lengthwise.kinds.openai import schema_check, schema_size

#: How often a line runs before it ends as an error.
MAX_ATTEMPTS = 3
#: The temperature of later attempts. Without one, the answer would be the same again.
_TEMPERATURE = 0.7
_MAX_SCHEMA_BYTES = 64 * 2**10


class PlainTextFormat(RequestPart):
    type: Literal["text"]


class JsonObjectFormat(RequestPart):
    type: Literal["json_object"]


class JsonSchema(RequestPart):
    model_config = ConfigDict(serialize_by_alias=True)

    name: Annotated[Text, Field(min_length=1, max_length=64)]
    description: Text | None = None
    schema_: Annotated[dict[str, Any], AfterValidator(finite)] = Field(default_factory=dict, alias="schema")
    strict: bool | None = None

    @classmethod
    def known_fields(cls) -> list[str]:
        return [field.alias or name for name, field in cls.model_fields.items()]

    @field_validator("schema_")
    @classmethod
    def _is_a_schema(cls, value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """Measures the schema before it is compiled. It is not checked again where it was checked at submission.

        The context may be the ``Allowance`` of a submission.
        """
        if info.context is CHECKED:
            return value
        written = to_json(value)
        if len(written) > _MAX_SCHEMA_BYTES:
            raise ValueError(f"may have at most {_MAX_SCHEMA_BYTES} bytes")
        if schema_check.is_known(written):
            return value
        allowance = info.context if isinstance(info.context, schema_check.Allowance) else schema_check.Allowance()
        allowance.check()
        with allowance.measured():
            schema_size.check_size(value)
        if not schema_check.compiles(written, allowance):
            raise ValueError("is not a JSON schema")
        return value


class JsonSchemaFormat(RequestPart):
    type: Literal["json_schema"]
    json_schema: JsonSchema

    @classmethod
    def of(cls, given: JsonSchema) -> Self:
        own = JsonSchema.model_construct(name=given.name, schema_=given.schema_)
        return cls.model_construct(type="json_schema", json_schema=own)


ResponseFormat = Annotated[PlainTextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]


def instruction_texts(form: ResponseFormat | None) -> list[str]:
    """The texts that the model reads because of this format."""
    return [_instruction(form)] if _instruction(form) else []


def with_instruction(form: ResponseFormat | None, messages: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The messages, with the format's instruction at the end of the system message."""
    instruction = _instruction(form)
    if not instruction:
        return list(messages)
    if messages and messages[0]["role"] == "system":
        return [messages[0] | {"content": f"{messages[0]['content']}\n\n{instruction}"}, *messages[1:]]
    return [{"role": "system", "content": instruction}, *messages]


def _instruction(form: ResponseFormat | None) -> str:
    if isinstance(form, JsonObjectFormat):
        return "Answer with one JSON object and nothing else."
    if isinstance(form, JsonSchemaFormat):
        schema = json.dumps(form.json_schema.schema_, ensure_ascii=False)
        return f"Answer with JSON of this schema and nothing else: {schema}"
    return ""


def is_costly(form: ResponseFormat | None) -> bool:
    """Whether ``is_met`` may take long: an answer is checked against a schema of the caller's."""
    return isinstance(form, JsonSchemaFormat)


def is_met(form: ResponseFormat | None, text: str) -> bool:
    """Whether an answer follows the format that its line asked for.

    Raises ``Unanswerable`` if that takes too long to say, and ``Unavailable`` if the machine is too busy.
    """
    if form is None or isinstance(form, PlainTextFormat):
        return True
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        return False
    if isinstance(form, JsonObjectFormat):
        return isinstance(value, dict)
    try:
        return schema_check.is_valid(to_json(form.json_schema.schema_), text.encode())
    except schema_check.TooCostly:
        raise Unanswerable("schema_too_costly") from None


def decoding_of_attempt(decoding: Decoding, attempt: int) -> Decoding:
    """The line's own decoding at first; then another seed, and a temperature that gives other answers."""
    if not attempt:
        return decoding
    return replace(decoding, temperature=max(decoding.temperature, _TEMPERATURE), seed=decoding.seed + attempt)
