"""The table for ``models.toml`` says what a stranger's files say, and changes no screen that shows it."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lengthwise.models import hub_cache
from lengthwise.models.catalog import ModelSpec
from worker.prepare.report import entry


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8"), min_size=1, max_size=20))
@example("a\x1b[2J\x7f\x9b\u202e\U000e0001\n\"\\'", "\x9b\U0001f600")
def test_a_prompt_is_written_as_it_is_and_safe_to_show(prompt: str, name: str) -> None:
    spec = ModelSpec.from_table("m", {"path": "/m", "embed": {"prefix": {name: prompt}}})
    text = entry(spec, "m", Path("m"), "none")
    assert all(line.isprintable() for line in text.split("\n"))
    assert tomllib.loads(text)["models"]["m"]["embed"]["prefix"] == {name: prompt}


@pytest.mark.parametrize(
    ("quantization", "is_pruned", "revision"),
    [("none", False, "v1"), ("int8", False, "v1-int8"), ("bf16", True, "v1-pruned"), ("int8", True, "v1-pruned-int8")],
)
def test_models_that_answer_otherwise_have_other_revisions(quantization: str, is_pruned: bool, revision: str) -> None:
    spec = ModelSpec.from_table("m", {"path": "/m", "revision": "v1", "generate": {}})
    found = tomllib.loads(entry(spec, "m", Path("m"), quantization, is_pruned=is_pruned))
    assert found["models"]["m"]["revision"] == revision
    unnamed = tomllib.loads(entry(spec.model_copy(update={"revision": None}), "m", Path("m"), quantization))
    assert "revision" not in unnamed["models"]["m"], "it is the sum of its files"


def test_a_branch_of_the_hub_becomes_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "8f" * 20
    (tmp_path / commit).mkdir()
    monkeypatch.setattr(hub_cache, "folder", lambda *_: tmp_path / commit)
    spec = ModelSpec.from_table("m", {"hub": "owner/m", "revision": "main", "generate": {}})
    for quantization, more in (("none", ""), ("int8", "-int8")):
        found = tomllib.loads(entry(spec, "m", Path("m"), quantization))
        assert found["models"]["m"]["revision"] == commit + more
