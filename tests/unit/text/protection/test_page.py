"""The page about placeholders says what is so."""

import re
from pathlib import Path

import pytest

from lengthwise.text.part import Kept, Run
from lengthwise.text.protection import ALL, Convention, find

PAGE = (Path(__file__).parents[4] / "docs" / "placeholders.md").read_text("utf-8")
ROWS = [[cell.strip() for cell in row.split(" | ")] for row in re.findall(r"^\| (`.+) \|$", PAGE, re.MULTILINE)]
KEPT = [(row[0].strip("`"), example) for row in ROWS for example in re.findall("`(.+?)`", row[2])]
TEXT = [example for row in ROWS for example in re.findall("`(.+?)`", row[3])]


def test_the_page_shows_each_convention_once() -> None:
    assert [row[0].strip("`") for row in ROWS] == list(Convention)
    assert {convention for convention, _ in KEPT} == set(Convention)


@pytest.mark.parametrize(("convention", "example"), KEPT)
def test_what_the_page_calls_kept_is_kept_whole(convention: str, example: str) -> None:
    for conventions in (frozenset({Convention(convention)}), ALL | {Convention(convention)}):
        before, kept, after = find(Run.plain(f"so {example} it"), conventions)
        assert (before.raw, kept.raw, after.raw) == ("so ", example, " it")
        assert not isinstance(kept, Run)
        assert isinstance(kept, Kept) == ("{# item}" not in example and "select" not in example)


@pytest.mark.parametrize("example", TEXT)
def test_what_the_page_calls_text_is_text(example: str) -> None:
    text = Run.plain(f"so {example} it")
    assert find(text, ALL) == [text]
