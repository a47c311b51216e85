"""Segmentations that are equally good."""

import pytest

from worker.importing.tokenizers.ties import is_tie

SCORES = {"a": -2.0, "aa": -3.0, "b": -1.0, "ab": -3.0, "aaa": -6.0, "▁": -1.5}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["a", "aa"], ["aa", "a"]),
        (["▁", "aa", "a", "b"], ["▁", "a", "aa", "b"]),
        (["ab", "中国", "aa", "a"], ["ab", "\ufdd1中国\ufdd1", "a", "aa"]),
        (["a", "b"], ["ab"]),
        ([], []),
    ],
)
def test_pieces_in_another_order_are_as_good(one: list[str], other: list[str]) -> None:
    assert is_tie(one, other, SCORES)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["aa", "a"], ["aaa"]),
        (["a", "a"], ["aa"]),
        (["a", "a", "b", "aa"], ["aa", "b", "a", "a"]),  # the sums are equal, but neither part is
        (["a", "b"], ["b", "a"]),
        (["a", "中"], ["a"]),
        (["a", "中", "国"], ["a", "中"]),
    ],
)
def test_a_better_or_another_text_is_none(one: list[str], other: list[str]) -> None:
    assert not is_tie(one, other, SCORES)
