"""The benchmark of sentences: its marked texts, its measure, and how well the sentences of each language are found."""

import pytest

from benchmarks.sentences.__main__ import f1, languages, marked_text, marked_texts
from lengthwise.text import sentence


def test_ends_are_compared_without_blanks_and_without_the_end_of_the_text() -> None:
    marked = marked_text("Yes. |No! |Who?")
    assert marked.text == "Yes. No! Who?"
    assert marked.ends == {4, 8}


def test_f1_counts_ends_that_are_missed_and_ends_that_are_none() -> None:
    texts = [marked_text("Yes. |No! |Who?")]
    assert f1(texts, "en", lambda text, _: [5, 9, len(text)]) == 1
    assert f1(texts, "en", lambda text, _: [5, len(text)]) == pytest.approx(2 / 3)
    assert f1(texts, "en", lambda text, _: [2, 5, 9, len(text)]) == pytest.approx(4 / 5)


def test_there_are_thirty_texts_in_each_of_13_languages() -> None:
    assert len(languages()) == 13
    assert all(len(marked_texts(language)) >= 30 for language in languages())


@pytest.mark.parametrize("language", languages())
def test_nearly_all_ends_are_found(language: str) -> None:
    assert f1(marked_texts(language), language, sentence.ends) > 0.95
