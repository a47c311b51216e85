"""Structured output: an answer is checked against the schema in its line, and generated again if it does not match.

The prompt quotes the schema, since the engine cannot force an answer to follow it.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

import jsonschema_rs
from pydantic import AfterValidator, ConfigDict, Field, field_validator
from pydantic_core import from_json, to_json

from lengthwise.kinds.kind import Decoding, RequestPart, Text, finite

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
    def _is_a_schema(cls, value: dict[str, Any]) -> dict[str, Any]:
        written = to_json(value)
        if len(written) > _MAX_SCHEMA_BYTES:
            raise ValueError(f"may have at most {_MAX_SCHEMA_BYTES} bytes")
        if not all(reference.startswith("#") for reference in _references(value)):
            raise ValueError("may only refer to its own parts")
        try:
            _validator(written)
        except Exception:  # the library raises errors of its own, and their texts quote the schema
            raise ValueError("is not a JSON schema") from None
        return value


class JsonSchemaFormat(RequestPart):
    type: Literal["json_schema"]
    json_schema: JsonSchema

    @classmethod
    def of(cls, given: JsonSchema) -> Self:
        own = JsonSchema.model_construct(name=given.name, schema_=given.schema_)
        return cls.model_construct(type="json_schema", json_schema=own)


ResponseFormat = Annotated[PlainTextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")]


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [found for each in value for found in _references(each)]
    if not isinstance(value, dict):
        return []
    own = [given for name in ("$ref", "$dynamicRef") if isinstance(given := value.get(name), str)]
    return own + _references(list(value.values()))


@lru_cache(256)
def _validator(written: bytes) -> Any:
    """The schema is untrusted: it may not use the network, and its patterns must match in linear time."""
    options = jsonschema_rs.RegexOptions()
    return jsonschema_rs.Draft202012Validator(json.loads(written), pattern_options=options, retriever=_refuse)


def _refuse(_: str) -> Any:
    raise ValueError("a schema may only refer to its own parts")


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


def is_met(form: ResponseFormat | None, text: str) -> bool:
    """Whether an answer follows the format that its line asked for."""
    if form is None or isinstance(form, PlainTextFormat):
        return True
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        return False
    if isinstance(form, JsonObjectFormat):
        return isinstance(value, dict)
    return bool(_validator(to_json(form.json_schema.schema_)).is_valid(value))


def decoding_of_attempt(decoding: Decoding, attempt: int) -> Decoding:
    """The line's own decoding at first; then another seed, and a temperature that gives other answers."""
    if not attempt:
        return decoding
    return replace(decoding, temperature=max(decoding.temperature, _TEMPERATURE), seed=decoding.seed + attempt)
