"""What lengthwise does with published folders as they are is compared with transformers and told in one line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.published import reference, verdict
from tests.published.repositories import PUBLISHED


@pytest.mark.parametrize(
    "name", ["sentence-transformers/all-MiniLM-L6-v2", "openai-community/gpt2", "google/gemma-2-2b-it"]
)
def test_a_folder_that_is_served_gives_transformers_answers(name: str, published: Callable[[str], Path]) -> None:
    assert verdict.of(PUBLISHED[name], published(name)).said == "serves"


def test_another_answer_is_a_difference(published: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    name = "openai-community/gpt2"
    written = reference.continued(PUBLISHED[name], published(name), ["a"] * 4)
    monkeypatch.setattr(reference, "continued", lambda *_: written)
    found = verdict.of(PUBLISHED[name], published(name))
    assert (found.said, found.line[:14]) == ("differs", "prompts differ")


def test_a_refusal_is_one_line_without_the_folder(published: Callable[[str], Path]) -> None:
    name = "example/no-config"
    found = verdict.of(PUBLISHED[name], published(name))
    assert found.said == "refused"
    assert found.line.startswith("config_unreadable: ")
    assert "\n" not in found.line and str(published(name)) not in found.line
