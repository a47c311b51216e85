"""A schema is measured before it is compiled, and compiled and used within a budget."""

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic_core import to_json

from lengthwise.errors import Unanswerable
from lengthwise.kinds.kind import CHECKED
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


@pytest.mark.parametrize(
    ("deep", "message"),
    [
        (nested(101), "may nest at most 100 subschemas"),
        (nested(180), "may nest at most 100 subschemas"),
        (line(1_001), "may have at most 1000 references"),
        (line(2_000), "may have at most 1000 references"),
    ],
)
def test_depth_and_references_are_limited(deep: dict[str, Any], message: str) -> None:
    assert refusal(deep) == message


def in_chain(levels: int, word: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object"}
    for _ in range(levels):
        found = {word: found if word == "if" else [found], **more}
    return found


@pytest.mark.parametrize("word", ["allOf", "anyOf", "oneOf", "if"])
@pytest.mark.parametrize("again", ["unevaluatedProperties", "unevaluatedItems"])
def test_a_chain_that_looks_again_at_each_level_doubles(word: str, again: str) -> None:
    assert refusal(in_chain(20, word, **{again: False})).startswith("may have at most 10000 subschemas")
    assert schema.is_met(form(in_chain(8, word, **{again: False})), "{}")
    assert schema.is_met(form(in_chain(90, word)), "{}")


def circle(size: int, inner: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Definitions each of which refers to all others."""
    names = range(size)
    of_others = {at: [inner({"$ref": f"#/$defs/d{other}"}) for other in names if other != at] for at in names}
    return {"$ref": "#/$defs/d0", "$defs": {f"d{at}": {"anyOf": of_others[at]} for at in names}}


@pytest.mark.parametrize(
    "given",
    [
        {"$ref": "#"},
        {"not": {"$ref": "#"}},
        {"$dynamicAnchor": "a", "allOf": [{"$dynamicRef": "#a"}]},
        circle(9, dict) | {"unevaluatedProperties": False},
        circle(2, lambda other: {"if": other}),
    ],
)
def test_a_schema_that_never_comes_to_another_value_is_refused(given: dict[str, Any]) -> None:
    assert refusal(given) == "may not refer to itself for one and the same value"


def test_types_that_refer_to_each_other_are_accepted() -> None:
    """As those of a language's syntax do, whatever their number."""
    each = {f"d{at}": {"properties": {"next": {"$ref": f"#/$defs/d{(at + 1) % 300}"}}} for at in range(300)}
    assert schema.is_met(form({"$ref": "#/$defs/d0", "$defs": each}), '{"next": {"next": {}}}')
    others = circle(6, lambda other: {"type": "object", "properties": {"a": other}})
    assert schema.is_met(form(others), '{"a": {"a": {}}}')


def test_no_decoy_hides_what_an_anchor_names() -> None:
    written = json.dumps(chain(30)).replace("#/$defs/", "#")
    given = json.loads(written)
    for name, definition in given["$defs"].items():
        definition["$anchor"] = name
    decoys = [{"$anchor": name} for name in given["$defs"]]
    for more in ({"const": decoys}, {"examples": decoys}, {"x": decoys}):
        assert refusal(given | more).startswith("may have at most 10000 subschemas")
        assert refusal(json.loads(written.replace("#d", "#%64")) | {"$defs": given["$defs"]} | more).startswith("may")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"enum": ["x" * 66_000]}, "may have at most 65536 bytes"),
        ({"$ref": f"https://{CANARY}.org/"}, "may only refer to its own parts"),
        ({"$ref": f"{CANARY}.json#/a"}, "may only refer to its own parts"),
        ({"properties": {CANARY: {"$dynamicRef": "file:///etc/passwd"}}}, "may only refer to its own parts"),
        ({"$defs": {"a": {"$id": "https://x.org"}}}, "may have an $id at its top only"),
        ({"type": CANARY}, "is not a JSON schema"),
        ({"$ref": f"#/{CANARY}"}, "may only refer to its own parts"),
        ({"$ref": f"#{CANARY}"}, "may only refer to its own parts"),
        ({"pattern": "("}, "is not a JSON schema"),
        ({"minLength": -1}, "is not a JSON schema"),
        ({"required": CANARY}, "is not a JSON schema"),
    ],
)
def test_a_refusal_names_the_limit_and_quotes_nothing(given: Any, message: str) -> None:
    assert refusal(given) == message


def costly(tag: str) -> tuple[JsonSchemaFormat, str]:
    """A schema that is accepted, and an answer that takes too long to check: a thousand numbers, each looked for."""
    looked_for = [{"contains": {"const": number}} for number in range(1_500)]
    return form({"title": tag, "not": {"allOf": looked_for}}), json.dumps([*range(10_000, 16_000), *range(1_500)])


def test_an_answer_that_takes_too_long_to_check_fails_its_item_and_no_other() -> None:
    asked, answer = costly("one")
    with pytest.raises(Unanswerable) as caught:
        schema.is_met(asked, answer)
    assert caught.value.code == "schema_too_costly"
    assert schema.is_met(asked, "[]")
    assert schema.is_met(form(ADDRESS), '{"street": "a"}')


def test_a_schema_whose_answers_are_all_too_costly_is_not_tried_for_ever() -> None:
    asked, answer = costly("all")
    for text in (answer, answer, answer, "[]"):
        with pytest.raises(Unanswerable):
            schema.is_met(asked, text)
    with pytest.raises(schema_check.TooCostly):
        schema_check.compiles(to_json(asked.json_schema.schema_))


def test_large_schemas_of_others_leave_memory_for_the_next_one() -> None:
    many = [{"title": str(at), **chain(10), "unevaluatedProperties": False} for at in range(60)]
    assert all(schema_check.compiles(to_json(each)) for each in many)
    assert all(schema_check.is_valid(to_json(each), b"{}") for each in many[::7])


def test_a_child_that_is_killed_fails_no_schema() -> None:
    asked = form(ADDRESS | {"title": "killed"})
    for child in schema_check._children()._idle:
        os.killpg(child._process.pid, signal.SIGKILL)
        child._process.wait()
    assert schema.is_met(asked, '{"street": "a"}')


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
