"""Splitting a text into sentences, and joining them again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.text import sentence
from lengthwise.text.placeholder import TextPiece


def sentences(text: str, language: str | None = None) -> list[str]:
    return [piece.text for piece in sentence.split(text, language) if piece.is_text]


@pytest.mark.parametrize(
    ("text", "expected"),
    {
        "我吃了一个苹果。他呢？好！": ["我吃了一个苹果。", "他呢？", "好！"],
        "他说：“你好。”我走了。": ["他说：“你好。”", "我走了。"],
        "It weighs 3.5 kg. Dr. Smith likes it! Really?": ["It weighs 3.5 kg.", "Dr. Smith likes it!", "Really?"],
        "See www.example.com now. It is free.": ["See www.example.com now.", "It is free."],
        "Wait... what? Yes.": ["Wait... what?", "Yes."],
        "No stop at the end": ["No stop at the end"],
        "One line\nanother line\n\n12345": ["One line", "another line"],
        "价格370.24元。": ["价格370.24元。"],
        "你好！\ue000，您好。": ["你好！", "\ue000，您好。"],
        "好。下一句。\ue001": ["好。", "下一句。\ue001"],
        "One.\ue000 Two.\ue001": ["One.\ue000", "Two.\ue001"],
        "12345": [],
        "": [],
    }.items(),
)
def test_sentences_end_where_a_reader_would_end_them(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_an_ordinal_with_a_stop_does_not_end_a_sentence_in_languages_that_write_it_so() -> None:
    text = "Er kommt am 3. Mai. Sie auch."
    assert sentences(text, "de") == ["Er kommt am 3. Mai.", "Sie auch."]
    assert sentences("Take number 3. Then go.", "en") == ["Take number 3.", "Then go."]


@given(st.text(st.sampled_from('ab Z.!?。！\n"”)12é\ue000你'), max_size=60), st.sampled_from([None, "de", "en", "zh"]))
def test_the_joined_pieces_are_the_text(text: str, language: str | None) -> None:
    pieces = sentence.split(text, language)
    assert "".join(piece.text for piece in pieces) == text
    assert all(piece.text for piece in pieces)
    assert all(piece.text == piece.text.strip() for piece in pieces if piece.is_text)


def test_sentences_are_joined_with_a_space_if_the_target_language_uses_one() -> None:
    first, second = TextPiece("好。", True), TextPiece("你好。", True)
    assert sentence.joint(first, second, "en") == " "
    assert sentence.joint(first, second, "zh") == ""
    assert sentence.joint(first, TextPiece("\n", False), "en") == ""
    assert sentence.fitting(" ", "zh") == ""
    assert sentence.fitting("\n", "zh") == "\n"


def test_a_long_text_without_an_end_is_split_in_linear_time() -> None:
    for part in (".", "。", "a.", " A.", "\n", "?!"):
        assert sentence.split(part * 10_000) is not None
