"""Documentation that must not fall behind the code."""

from pathlib import Path

from lengthwise.line import ERRORS
from lengthwise.settings import Settings

ROOT = Path(__file__).parents[2]


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    documented = {line.split("`")[1] for line in page.splitlines() if line.startswith("| `LENGTHWISE_")}
    assert documented == {f"LENGTHWISE_{name.upper()}" for name in Settings.model_fields}


def test_every_error_code_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert [code for code in ERRORS if f"`{code}`" not in readme] == []
