"""A line of JSON is one line for every reader, and parses to what was written."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from lengthwise import json_line
from lengthwise.kinds import result_line
from lengthwise.kinds.kind import TextItem
from lengthwise.states import ResultStatus

#: All that ``str.splitlines`` ends a line at.
SEPARATORS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
#: With characters whose bytes are like those of the separators.
TEXTS = st.text(st.sampled_from(SEPARATORS + 'aé\u0084\u0086\u2027\u202a“”我\U0001f600\\"u2028')).map(str)
VALUES: st.SearchStrategy[Any] = st.recursive(
    TEXTS | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=8
)


@given(value=VALUES)
def test_any_value_is_one_line_and_parses_to_itself(value: Any) -> None:
    line = json_line.written(value)
    assert line.decode().splitlines() == [line.decode()[:-1]]
    assert from_json(line) == json.loads(line) == value


@given(values=st.lists(VALUES))
def test_many_lines_stay_as_many(values: list[Any]) -> None:
    page = json_line.escaped(b"".join(to_json(value) + b"\n" for value in values))
    assert [json.loads(line) for line in page.decode().splitlines()] == values
    assert json_line.escaped(page) == page


@pytest.mark.parametrize("text", ["plain", "我吃了一个苹果。", "“Don’t” – he said…", "é \u0084\u0086", "\u2027\u202a"])
def test_what_no_reader_cuts_is_not_escaped(text: str) -> None:
    assert json_line.written(text) == f'"{text}"\n'.encode()


@pytest.mark.parametrize("separator", SEPARATORS)
def test_a_result_line_is_one_line_wherever_a_separator_stands(separator: str) -> None:
    text = f"a{separator}b"
    item = TextItem(id=text, text=text, metadata={text: {text: [text]}})
    for line in (
        result_line.succeeded(3, item, {"text": text}, 1, 2, to_json(text)),
        result_line.failed(3, item, "too_long", ResultStatus.FAILED),
    ):
        [found] = [json.loads(each) for each in line.decode().splitlines()]
        assert (found["id"], found["metadata"]) == (text, {text: {text: [text]}})
        assert found.get("output", {}).get("text", text) == text


@pytest.mark.parametrize("separator", SEPARATORS)
def test_scores_are_rounded_in_lines_that_are_escaped(separator: str) -> None:
    text = f"a{separator}b"
    output = {"text": text, "scores": {text: 0.123456}}
    line = result_line.succeeded(3, TextItem(id=text, text=text), output, 1, 2, b'"r"')
    [found] = [json.loads(each) for each in result_line.rounded(line, 2).decode().splitlines()]
    assert found["output"] == {"text": text, "scores": {text: 0.12}}
