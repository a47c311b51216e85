"""Documentation that must match the code."""

import re
from pathlib import Path

import pytest

from lengthwise.kinds.result_line import ERRORS, WARNINGS
from lengthwise.settings import Settings
from lengthwise.text.quality import Doubt
from worker.engine.transformer.weights.families import FITTING

ROOT = Path(__file__).parents[2]


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    documented = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `LENGTHWISE_")}
    assert documented == {f"LENGTHWISE_{name.upper()}" for name in Settings.model_fields}


def test_every_error_code_is_documented() -> None:
    pages = (ROOT / "README.md").read_text("utf-8") + (ROOT / "docs" / "openai.md").read_text("utf-8")
    assert [code for code in ERRORS if f"`{code}`" not in pages] == []


def test_every_warning_code_is_documented() -> None:
    page = (ROOT / "README.md").read_text("utf-8")
    assert [code for code in WARNINGS if f"| `{code}` |" not in page] == []
    assert WARNINGS.keys() == {*Doubt, "truncated"}


def test_the_documented_table_of_families_matches_the_engine() -> None:
    page = (ROOT / "docs" / "models.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.endswith("yes |")]
    documented = {runs_as: set(types.split("`")[1::2]) for _, types, runs_as, *_ in rows if types != "all others"}
    assert documented == {architecture.value: types for architecture, types in FITTING.items()}
    assert {(runs_as, int8) for _, _, runs_as, int8, *_ in rows} == {
        *((architecture.value, "yes") for architecture in FITTING),
        ("fallback", "no"),
    }


def test_every_budget_has_its_code_and_its_test() -> None:
    page = (ROOT / "docs" / "security.md").read_text("utf-8")
    rows = [
        re.split(r" \| ", line.strip("| ")) for line in page.splitlines() if line.startswith("|") and "`tests/" in line
    ]
    assert len(rows) > 30
    for what, budget, beyond, code, test in rows:
        assert what and budget and beyond
        assert re.fullmatch(r"`(api|lengthwise|worker)/[\w/]+\.py`", code), what
        assert re.fullmatch(r"`tests/[\w/]+\.py`", test), what


@pytest.mark.parametrize(
    ("named", "figure"),
    re.findall(r"`LENGTHWISE_(\w+)` \(([^)]+)\)", (ROOT / "docs" / "security.md").read_text("utf-8")),
)
def test_a_budget_that_is_a_setting_shows_its_default(named: str, figure: str) -> None:
    number, unit = (re.fullmatch(r"([\d,]+)(?: (s|MiB|GiB))?", figure) or pytest.fail(figure)).groups()
    value = int(number.replace(",", "")) * {"MiB": 2**20, "GiB": 2**30}.get(unit, 1)
    assert getattr(Settings(), named.lower()) == value


def test_every_decision_record_has_a_one_line_summary() -> None:
    for page in (ROOT / "docs" / "decisions").glob("*.md"):
        title, blank, summary, end, *_ = page.read_text("utf-8").splitlines()
        assert title.startswith(f"# {int(page.name[:4])}. "), page.name
        assert (blank, end) == ("", "") and summary[0] == summary[-1] == "*", page.name
        assert len(summary) <= 100, page.name
