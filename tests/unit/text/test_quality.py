"""Doubts about translations: none about good ones, and each kind of bad ones is seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.text.quality import Doubt, doubts
from tests.unit.text.translations import COPIED, GOOD, LENGTH, NUMBERS_LOST, REPEATS, WRONG_SCRIPT, Pair

BAD = {
    Doubt.COPIED: COPIED,
    Doubt.WRONG_SCRIPT: WRONG_SCRIPT,
    Doubt.REPEATS: REPEATS,
    Doubt.LENGTH: LENGTH,
    Doubt.NUMBERS_LOST: NUMBERS_LOST,
}


@pytest.mark.parametrize("pair", GOOD, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def test_a_good_translation_is_not_doubted(pair: Pair) -> None:
    source_language, target_language, source, translation = pair
    assert doubts(source, translation, source_language, target_language) == []


@pytest.mark.parametrize(("doubt", "pair"), [(doubt, pair) for doubt, pairs in BAD.items() for pair in pairs])
def test_a_bad_translation_is_doubted(doubt: Doubt, pair: Pair) -> None:
    source_language, target_language, source, translation = pair
    assert doubt in doubts(source, translation, source_language, target_language)


def test_there_are_enough_examples() -> None:
    assert len(GOOD) >= 40
    assert all(len(pairs) >= 25 for pairs in BAD.values())
    assert len({language for source, target, *_ in GOOD for language in (source, target)}) >= 10


@pytest.mark.parametrize(
    "text", ["", "12345", "{name}", "<br>", "https://example.org/not-found", "%s", "+++", "\ue000"]
)
def test_a_text_without_a_word_is_not_doubted(text: str) -> None:
    assert doubts(text, "", "en", "de") == []
    assert doubts(text, text, "en", "zh") == []


@given(st.text(), st.text(), st.sampled_from(["en", "zh-Hans", "ar", "x", "sr-Xxxx", "", None]))
def test_any_text_can_be_judged(source: str, translation: str, language: str | None) -> None:
    found = doubts(source, translation, "en", language)
    assert found == sorted(set(found), key=list(Doubt).index)


@given(st.text(st.sampled_from("ab 1٣.,:我哈<{%@é"), max_size=40))
def test_no_text_loses_its_own_numbers_or_repeats_more_than_itself(text: str) -> None:
    assert {Doubt.NUMBERS_LOST, Doubt.REPEATS}.isdisjoint(doubts(text, text, "en", "de"))


@pytest.mark.parametrize("part", ["a", "a ", "我", "<a", "{a", "1,", "1 ", "a@", "%(", "abababx", "1.2.", "www.", "&a"])
def test_a_long_text_of_one_pattern_is_judged(part: str) -> None:
    text = part * 30_000  # at quadratic cost, this test would run into its timeout
    assert Doubt.BLANK not in doubts(f"words {text}", text, "en", "zh")
