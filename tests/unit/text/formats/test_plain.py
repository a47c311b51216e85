"""Reading plain text line by line."""

import pytest
from hypothesis import given

from lengthwise.text.formats import TextFormat, read
from lengthwise.text.part import Passage, Run
from tests.unit.text.formats.reading import passages, shown, texts, translated


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        ("Name: ", "«Name:» "),
        ("one\n\n\n\ntwo", "«one»\n\n\n\n«two»"),
        ("if x:\n    y = z", "«if x:»\n    «y = z»"),
        ("Message\n", "«Message»\n"),
        ("\n\n  Message  \n", "\n\n  «Message»  \n"),
        ("a\r\nb\rc", "«a»\r\n«b»\r«c»"),
        ("a\u2028b\u2029c\x85d\x0be\x0cf", "«a»\u2028«b»\u2029«c»\x85«d»\x0b«e»\x0c«f»"),
        ("- a\n- b", "- «a»\n- «b»"),
        ("* a", "* «a»"),
        ("• a\n  ◦ b", "• «a»\n  ◦ «b»"),
        ("1. one\n2. two", "1. «one»\n2. «two»"),
        ("1) one\n(2) two", "1) «one»\n(2) «two»"),
        ("3. Oktober", "«3. Oktober»"),
        ("Am 3. Oktober\n4. November", "«Am 3. Oktober»\n«4. November»"),
        ("-5 degrees", "«-5 degrees»"),
        ("*bold*", "«*bold*»"),
        ("Name\tAge\tCity", "«Name»\t«Age»\t«City»"),
        ("Name     Age", "«Name»     «Age»"),
        ("Hello.  Two blanks", "«Hello.  Two blanks»"),
        ("wrapped\nline", "«wrapped»\n«line»"),
        ("", ""),
        (" \t ", " \t "),
        ("12.50 × 3", "12.50 × 3"),
        ("---\n12\nText", "---\n12\n«Text»"),
        ("a <b>c</b> &amp; {d}", "«a <b>c</b> &amp; {d}»"),
        ("super\u00adstruc\u200bture", "«superstructure»"),
        ("\ufeffText", "\ufeff«Text»"),
        ("می\u200cخواهم", "«می\u200cخواهم»"),
        ("Family 👨\u200d👩\u200d👧 ❤\ufe0f 🏴\U000e0067\U000e0062\U000e007f", None),
        ("我吃了。\u3000\n", "«我吃了。»\u3000\n"),
        ("a\u00a0b\u00a0", "«a\u00a0b»\u00a0"),
        ("* * *", "* * *"),
        ("\ue000 Home\uf015\U000f0001 x", "«‹\ue000› Home‹\uf015\U000f0001› x»"),
        ("\ue000 Home", "\ue000 «Home»"),
        (
            "{n, plural,\n  one {# file}\n  other {# files}\n}\nText",
            "«{n, plural,\n  one {# file}\n  other {# files}\n}»\n«Text»",
        ),
        (
            "Hi\nYou: {g, select,\n\tother {a {b, plural,\nother {c}}}} d\te\nf",
            "«Hi»\n«You: {g, select,\n\tother {a {b, plural,\nother {c}}}} d\te»\n«f»",
        ),
        ("{n, plural,\n one {# file}\n", "«{n, plural,»\n «one {# file}»\n"),
        ("{\n  a: b,\n}", "{\n  «a: b,»\n}"),
        ("– a — b", "– «a — b»"),
    ],
)
def test_lines_are_passages_and_blanks_and_markers_are_kept(text: str, read_as: str | None) -> None:
    assert shown(text, TextFormat.TEXT) == (f"«{text}»" if read_as is None else read_as)


def test_a_short_text_is_one_run() -> None:
    (passage,) = read("I ate an apple.", TextFormat.TEXT)
    assert isinstance(passage, Passage)
    assert passage.parts == (Run.plain("I ate an apple."),)
    assert passage.encode("a < b & c") == "a < b & c"


def test_what_is_left_out_for_the_model_stays_in_the_source() -> None:
    (passage,) = passages("super\u00adstructure", TextFormat.TEXT)
    (run,) = passage.parts
    assert isinstance(run, Run)
    assert (run.raw, run.text) == ("super\u00adstructure", "superstructure")
    assert run.slice(0, 5).raw == "super\u00ad"
    assert run.slice(5, 9).raw == "stru"


@given(texts)
def test_the_number_of_lines_stays(text: str) -> None:
    assert len(translated(text, TextFormat.TEXT, lambda _: "word").splitlines()) == len(text.splitlines())
