"""Conditions on a result's output: read strictly, and meaning what their grammar says."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from lengthwise.errors import InvalidInput
from lengthwise.webhooks.condition import AllOf, AnyOf, Condition, FieldComparison, parse

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,8}", fullmatch=True) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=6
)
literals = (
    st.booleans()
    | st.none()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)
comparisons = st.builds(
    FieldComparison,
    st.lists(names, min_size=1, max_size=3).map(tuple),
    st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "has"]),
    literals,
)


def joined(inner: st.SearchStrategy[Condition]) -> st.SearchStrategy[Condition]:
    """Conditions joined by ``and`` or ``or``, without directly nesting the same operator."""

    def parts(other: type[Condition]) -> st.SearchStrategy[tuple[Condition, ...]]:
        return st.lists(inner.filter(lambda part: not isinstance(part, other)), min_size=2, max_size=3).map(tuple)

    return st.builds(AllOf, parts(AllOf)) | st.builds(AnyOf, parts(AnyOf))


conditions: st.SearchStrategy[Condition] = st.recursive(comparisons, joined, max_leaves=5)
values = st.recursive(literals, lambda inner: st.dictionaries(names, inner, max_size=3) | st.lists(inner), max_leaves=6)


def written(condition: Condition) -> str:
    if isinstance(condition, FieldComparison):
        path = ".".join(to_json(name).decode() for name in condition.path)
        return f"{path} {condition.operator} {to_json(condition.literal).decode()}"
    word = " and " if isinstance(condition, AllOf) else " or "
    return word.join(f"({written(part)})" for part in condition.parts)


@given(conditions)
def test_a_written_condition_is_parsed_again(condition: Condition) -> None:
    text = written(condition)
    if len(text) <= 500:
        assert parse(text) == condition


@given(conditions, values)
def test_a_condition_raises_no_error_for_any_output(condition: Condition, output: Any) -> None:
    assert condition.holds(output) in (True, False)


@given(comparisons.filter(lambda each: each.operator == "=="), values)
def test_not_equal_is_the_opposite_of_equal(equal: FieldComparison, output: Any) -> None:
    assert FieldComparison(equal.path, "!=", equal.literal).holds(output) is not equal.holds(output)


@given(st.text(max_size=60) | st.text('ab."\\()=<>!&0123e- andortruenull', max_size=60))
def test_any_text_is_a_condition_or_is_refused_without_being_quoted(text: str) -> None:
    try:
        parse(text)
    except InvalidInput as refusal:
        assert refusal.field == "filter"


OUTPUT = {
    "flagged": True,
    "scores": {"violence": 0.7, "hate/threatening": 0.01},
    "label": "b",
    "count": 1,
    "none": None,
    "warnings": ["copied", "length"],
    "mixed": [1, True, None, ["x"]],
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("flagged == true", True),
        ("flagged==true", True),
        ("flagged != true", False),
        ("flagged == 1", False),
        ("count == true", False),
        ("count == 1.0", True),
        ("scores.violence >= 0.7", True),
        ("scores.violence > 0.7", False),
        ('scores."hate/threatening" < 0.5', True),
        ('label > "a"', True),
        ("label > 1", False),
        ("label < 1", False),
        ("missing == null", True),
        ("missing != null", False),
        ("missing.deeper == null and none == null", True),
        ("missing < 1 or missing >= 1", False),
        ("scores == null", False),
        ("flagged == false and count == 1 or count == 1", True),
        ("flagged == false and (count == 1 or count == 1)", False),
        ("flagged == true or missing == 1 and missing == 1", True),
        ('"flagged" == true', True),
        ("flagged <= true", False),
        ('warnings has "copied"', True),
        ('warnings has "length" and flagged == true', True),
        ('warnings has "blank"', False),
        ('warnings has "cop"', False),
        ("warnings has null", False),
        ("warnings != null", True),
        ("warnings == null", False),
        ('warnings == "copied"', False),
        ('missing has "copied"', False),
        ("missing has null", False),
        ('label has "b"', False),
        ("scores has 0.7", False),
        ("mixed has 1", True),
        ("mixed has 2", False),
        ("mixed has true", True),
        ("mixed has false", False),
        ("mixed has null", True),
        ('mixed has "x"', False),
        ('"has" != true', True),
    ],
)
def test_a_condition_means_what_its_grammar_says(text: str, holds: bool) -> None:
    assert parse(text).holds(OUTPUT) is holds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "flagged",
        "flagged =",
        "flagged = true",
        "warnings has",
        "warnings has copied",
        "warnings has == true",
        "has",
        'warnings Has "copied"',
        "flagged == True",
        "flagged == flagged",
        "true == flagged ==",
        "flagged == true or",
        "flagged == true flagged == true",
        "(flagged == true",
        "flagged == true)",
        "flagged. == true",
        ".flagged == true",
        "a == 1e999",
        "a == NaN",
        "a == 01",
        "a == 1.",
        "a == 1x",
        "a == 'x'",
        'a == "\\x"',
        "a == [1]",
        "__import__('os').system('true')",
        "a == 1; b",
        "(" * 30 + "a == 1" + ")" * 30,
        "a == 1 and " * 60 + "a == 1",
        'a == "\\ud800"',
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"cannot be read|characters"):
        parse(text)
