"""The examples of docs/translation.md are true."""

import re
from pathlib import Path

import pytest

from lengthwise.text.formats import TextFormat, guess
from tests.unit.text.formats.reading import shown

_PAGE = (Path(__file__).parents[4] / "docs" / "translation.md").read_text("utf-8")
_EXAMPLES = re.findall(r"^\| `(text|html|markdown)` \| `(.+)` \| `(.+)` \|$", _PAGE, re.MULTILINE)


def test_the_page_has_examples_of_every_format() -> None:
    assert {format_ for format_, _, _ in _EXAMPLES} == set(TextFormat)
    assert len(_EXAMPLES) == len(re.findall(r"^\| `\w+` \| `", _PAGE, re.MULTILINE))


@pytest.mark.parametrize(("format_", "text", "read_as"), _EXAMPLES)
def test_each_example_is_read_as_shown(format_: str, text: str, read_as: str) -> None:
    assert shown(text, TextFormat(format_)) == read_as


@pytest.mark.parametrize("text", ["AT&T", "?a=1&copy=2", "a < b", "<name>", "<title>"])
def test_what_the_page_calls_no_sign_is_plain_text(text: str) -> None:
    assert f"`{text}`" in _PAGE
    assert guess(text) is TextFormat.TEXT
