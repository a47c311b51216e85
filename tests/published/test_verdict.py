"""What lengthwise does with published folders as they are is compared with transformers and told in one line.

Vectors may be as far from transformers' as both are from float64's, and no further.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.published import distance, reference, verdict
from tests.published.distance import Numbers
from tests.published.repositories import PUBLISHED

THEIRS, EXACT = [[0.5, -0.25], [0.125, 0.0]], [[0.5, -0.25 - 6e-7], [0.125, 0.0]]


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


def no_need() -> Numbers:
    raise AssertionError("float64 is needed only for vectors that are further apart than 1e-6")


def with_last_of_first(value: float) -> list[list[float]]:
    return [[0.5, value], [0.125, 0.0]]


@pytest.mark.parametrize("off", [0.0, 9e-7, -9e-7])
def test_vectors_that_are_near_enough_need_no_float64(off: float) -> None:
    assert distance.of_vectors(with_last_of_first(-0.25 + off), THEIRS, no_need) == []


def test_vectors_that_are_as_near_to_float64_as_transformers_are_are_near_enough() -> None:
    assert distance.of_vectors(with_last_of_first(-0.25 - 1.4e-6), THEIRS, lambda: EXACT) == []


@pytest.mark.parametrize("value", [-0.25 - 1.6e-6, -0.25 + 1.1e-6, 0.25, float("nan"), float("inf")])
def test_vectors_that_are_further_from_float64_than_transformers_differ(value: float) -> None:
    [said] = distance.of_vectors(with_last_of_first(value), THEIRS, lambda: EXACT)
    assert said.startswith("vectors differ by ") and said.endswith("transformers' by 6e-07")


def test_one_text_that_differs_is_enough() -> None:
    others = [[0.5, -0.25], [0.125, 2e-6]]
    assert distance.of_vectors(others, THEIRS, lambda: EXACT) != []


@pytest.mark.parametrize("ours", [[[0.5, -0.25]], [[0.5, -0.25], [0.125]], []])
def test_vectors_of_another_size_differ(ours: Numbers) -> None:
    assert distance.of_vectors(ours, THEIRS, no_need) == ["vectors have another size"]


@pytest.mark.parametrize(("off", "is_near"), [(0.0, True), (9e-5, True), (-1.1e-4, False), (float("nan"), False)])
def test_scores_are_compared_with_transformers_alone(off: float, is_near: bool) -> None:
    assert (distance.of_scores([[0.5 + off, 0.5]], [[0.5, 0.5]]) == []) is is_near
