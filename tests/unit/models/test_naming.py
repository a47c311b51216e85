"""Texts of strangers, as a terminal may show them."""

from hypothesis import given
from hypothesis import strategies as st

from lengthwise.models.published.naming import printable, said


@given(st.text(st.characters(codec="utf-8")))
def test_no_text_changes_the_screen(text: str) -> None:
    shown = printable(text)
    assert all(line.isprintable() for line in shown.split("\n"))
    assert shown.count("\n") == text.count("\n")
    assert printable(shown) == shown
    if all(line.isprintable() for line in text.split("\n")):
        assert shown == text


@given(st.text())
def test_no_name_changes_a_line(name: str) -> None:
    assert said(name).isprintable()


def test_an_escape_is_shown_as_one_writes_it() -> None:
    assert printable("a\x1b[2J\tb\u202e\x9b") == r"a\x1b[2J\tb\u202e\x9b"
