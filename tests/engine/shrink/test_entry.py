"""The table for ``models.toml`` says what a stranger's files say, and changes no screen that shows it."""

import tomllib
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from lengthwise.models.catalog import ModelSpec
from worker.prepare.report import entry


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8"), min_size=1, max_size=20))
@example("a\x1b[2J\x7f\x9b\u202e\U000e0001\n\"\\'", "\x9b\U0001f600")
def test_a_prompt_is_written_as_it_is_and_safe_to_show(prompt: str, name: str) -> None:
    spec = ModelSpec.from_table("m", {"path": "/m", "embed": {"prefix": {name: prompt}}})
    text = entry(spec, "m", Path("m"), "none")
    assert all(line.isprintable() for line in text.split("\n"))
    assert tomllib.loads(text)["models"]["m"]["embed"]["prefix"] == {name: prompt}
