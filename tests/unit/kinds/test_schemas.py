"""A schema is measured before it is compiled, and compiled and used within a budget."""

import json
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import to_json

from lengthwise.kinds.kind import CHECKED, Unanswerable
from lengthwise.kinds.openai import schema, schema_check, schema_size
from lengthwise.kinds.openai.schema import JsonSchema, JsonSchemaFormat

CANARY = "ZZkanarienvogelZZ"


def chain(levels: int, word: str = "allOf", **leaf: Any) -> dict[str, Any]:
    """Each level refers twice to the next: 2 to the power of ``levels`` subschemas when it is expanded."""
    definitions: dict[str, Any] = {f"d{levels}": {"type": "object", **leaf}}
    for level in range(levels):
        definitions[f"d{level}"] = {word: [{"$ref": f"#/$defs/d{level + 1}"}] * 2}
    return {"$ref": "#/$defs/d0", "$defs": definitions}


def refusal(given: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        JsonSchema.model_validate({"name": "x", "schema": given})
    [error] = caught.value.errors(include_input=False)
    assert error["loc"] == ("schema",)
    assert CANARY not in error["msg"]
    return error["msg"].removeprefix("Value error, ")


def form(given: dict[str, Any]) -> JsonSchemaFormat:
    return JsonSchemaFormat.of(JsonSchema.model_validate({"name": "x", "schema": given}))


ADDRESS = {
    "$defs": {
        "street": {"type": "string", "minLength": 1},
        "tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
    },
    "type": "object",
    "properties": {
        "street": {"$ref": "#/$defs/street"},
        "number": {"type": "integer"},
        "more": {"$ref": "#/$defs/tree"},
    },
    "required": ["street"],
    "unevaluatedProperties": False,
}


@pytest.mark.parametrize(
    ("answer", "is_met"),
    [
        ('{"street": "a"}', True),
        ('{"street": "a", "number": 3, "more": [[], [[]]]}', True),
        ('{"street": ""}', False),
        ('{"street": "a", "other": 1}', False),
        ('{"street": "a", "more": [1]}', False),
        ("[]", False),
        ("{", False),
        ("", False),
        ('{"street": NaN}', False),
    ],
)
def test_answers_are_checked(answer: str, is_met: bool) -> None:
    assert schema.is_met(form(ADDRESS), answer) is is_met


def test_a_schema_that_others_use_is_accepted() -> None:
    many = {f"p{number}": {"type": "string", "enum": ["a", "b"]} for number in range(1_200)}
    for good in (
        {},
        True,
        ADDRESS,
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://x.org/y", "type": "object"},
        {"type": "object", "properties": many, "additionalProperties": False},
        {"$defs": {"a": {"$anchor": "here", "type": "null"}}, "$ref": "#here"},
        {"properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}, "enum": {"$ref": "#/properties/$id"}}},
        {"enum": [{"$ref": "https://x.org"}], "default": {"$ref": "y"}, "const": {"$id": "z"}},
        {"$dynamicAnchor": "node", "properties": {"next": {"$dynamicRef": "#node"}}},
        chain(10),
    ):
        if isinstance(good, dict):
            assert form(good).json_schema.schema_ == good


@pytest.mark.parametrize("word", ["allOf", "anyOf", "oneOf", "prefixItems"])
@pytest.mark.parametrize("levels", [17, 25, 45])
def test_what_references_repeat_is_counted(word: str, levels: int) -> None:
    for given in (chain(levels, word), chain(levels, word) | {"unevaluatedProperties": False}):
        assert refusal(given).startswith("may have at most 10000 subschemas")
        for outer in ("properties", "patternProperties", "dependentSchemas"):
            assert refusal({outer: {CANARY: given["$defs"]["d0"]}, "$defs": given["$defs"]}).startswith(
                "may have at most"
            )
        for outer in ("if", "not", "contains", "items", "additionalProperties", "unevaluatedItems", "propertyNames"):
            assert refusal({outer: given["$defs"]["d0"], "$defs": given["$defs"]}).startswith("may have at most")


def nested(levels: int) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "null"}
    for _ in range(levels):
        found = {"items": found}
    return found


def line(levels: int) -> dict[str, Any]:
    definitions: dict[str, Any] = {f"d{at}": {"$ref": f"#/$defs/d{at + 1}"} for at in range(levels)}
    return {"$ref": "#/$defs/d0", "$defs": definitions | {f"d{levels}": {"type": "null"}}}


@pytest.mark.parametrize("deep", [nested(101), nested(180), line(150), line(2_000)])
def test_depth_is_limited_through_references_too(deep: dict[str, Any]) -> None:
    assert refusal(deep) == "may nest at most 100 subschemas, counted through references"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"enum": ["x" * 66_000]}, "may have at most 65536 bytes"),
        ({"$ref": f"https://{CANARY}.org/"}, "may only refer to its own parts"),
        ({"$ref": f"{CANARY}.json#/a"}, "may only refer to its own parts"),
        ({"properties": {CANARY: {"$dynamicRef": "file:///etc/passwd"}}}, "may only refer to its own parts"),
        ({"$defs": {"a": {"$id": "https://x.org"}}}, "may have an $id at its top only"),
        ({"type": CANARY}, "is not a JSON schema"),
        ({"$ref": f"#/{CANARY}"}, "is not a JSON schema"),
        ({"$ref": f"#{CANARY}"}, "is not a JSON schema"),
        ({"pattern": "("}, "is not a JSON schema"),
        ({"minLength": -1}, "is not a JSON schema"),
        ({"required": CANARY}, "is not a JSON schema"),
    ],
)
def test_a_refusal_names_the_limit_and_quotes_nothing(given: Any, message: str) -> None:
    assert refusal(given) == message


def test_a_schema_that_takes_too_long_to_check_fails_its_item_by_name_and_later_ones_at_once() -> None:
    costly = {"items": chain(11)["$defs"]["d0"] | {"unevaluatedProperties": False}, "$defs": chain(11)["$defs"]}
    asked = form(costly)
    for answer in ("[{}" + ",{}" * 100_000 + "]", "[]"):
        with pytest.raises(Unanswerable) as caught:
            schema.is_met(asked, answer)
        assert caught.value.code == "schema_too_costly"
    with pytest.raises(schema_check.TooCostly):
        schema_check.compiles(to_json(costly))
    assert schema.is_met(form(ADDRESS), '{"street": "a"}')


def test_what_was_checked_at_submission_is_not_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: bytes) -> bool:
        raise AssertionError

    monkeypatch.setattr(schema_check, "compiles", fails)
    sent = {"name": "x", "schema": chain(90)}
    assert JsonSchema.model_validate(sent, context=CHECKED).schema_ == sent["schema"]
    assert JsonSchema.model_validate_json(json.dumps(sent), context=CHECKED).schema_ == sent["schema"]


NAMES = st.sampled_from(
    ["a", "b", "$ref", "$id", "enum", "items", "allOf", "properties", "$defs", "$anchor", "const", "x/~y"]
)
POINTERS = st.sampled_from(
    ["#", "#/$defs/a", "#/$defs/b", "#a", "#/items", "#/allOf/0", "#/properties/x~1~0y", "#/a/0/b"]
)
SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.integers() | POINTERS | st.builds(lambda at: {"$ref": at}, POINTERS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=30,
)


@drawn(SCHEMAS)
def test_any_json_is_measured_or_refused(given: Any) -> None:
    try:
        schema_size.check_size(given)
    except ValueError as error:
        assert str(error).startswith("may ")


@drawn(st.integers(0, 12), st.integers(1, 3))
def test_the_size_is_that_of_the_expanded_schema(levels: int, width: int) -> None:
    definitions: dict[str, Any] = {f"d{levels}": {}}
    for level in range(levels):
        definitions[f"d{level}"] = {"allOf": [{"$ref": f"#/$defs/d{level + 1}"} for _ in range(width)]}
    written = {"$ref": "#/$defs/d0", "$defs": definitions}
    # A definition is counted wherever it is referred to, and each reference is one as well.
    of_level = [1]
    for _ in range(levels):
        of_level.append(1 + width * (1 + of_level[-1]))
    expected = 1 + of_level[levels]
    if expected > schema_size.MAX_EXPANDED:
        with pytest.raises(ValueError, match="may have at most"):
            schema_size.check_size(written)
    else:
        schema_size.check_size(written)
