import time
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.text.clean import clean
from lengthwise.text.placeholder import ProtectedText, TextPiece, join, protect, restore, split

WORDS = "{name} {0} {{ {} }} ${var} %s %1$s %(a)s %% % %@ 50% <b> </b> <a_href='x'> <0> < > https://a.com/x?y=1"
WORDS += " www.x.example a@b.com @nike :fire: : SKU-12345 - word 中文 。 , . 9 {n, {a,"
PARTS = st.sampled_from([*(word.replace("_", " ") for word in WORDS.split()), " ", "\n", "\t", "\ue000", "\ue001"])
TEXTS = st.text() | st.lists(PARTS, max_size=20).map("".join)
CLEANED = TEXTS.map(clean)

#: A text, and the placeholders in it.
FOUND = {
    "Hello {name}, you have {0} of { total }": ["{name}", "{0}", "{ total }"],
    "{{ user.name }} {{{raw}}} {% if x %} ${cart.total}": [
        "{{ user.name }}",
        "{{{raw}}}",
        "{% if x %}",
        "${cart.total}",
    ],
    "{0:.2f} {day, date, short} {x!r}": ["{0:.2f}", "{day, date, short}", "{x!r}"],
    "%s %d, %1$s (%(name)s) %@ %.2f %5d %ld %,d %%": [
        "%s",
        "%d",
        "%1$s",
        "%(name)s",
        "%@",
        "%.2f",
        "%5d",
        "%ld",
        "%,d",
        "%%",
    ],
    "%d件商品，共%1$d页": ["%d", "%1$d"],
    "50% of, 100 % sure, 100%, 50%discount, 20 %ige, the %discount": [],
    '<b>bold</b> <a href="/x" download>link</a> <br/> <0>x</0>': (
        ["<b>", "</b>", '<a href="/x" download>', "</a>", "<br/>", "<0>", "</0>"]
    ),
    "x < 5 and y > 3, I <3 you, a <b and c> d": [],
    "访问https://a.com/x，或 (www.b.com/y?q={q}).": ["https://a.com/x", "www.b.com/y?q={q}"],
    "邮箱help.me+x@mail.example.com。": ["help.me+x@mail.example.com"],
    "thanks @nike_cn, 2 @ 5 €, size@home :fire: 12:30:45 :)": ["@nike_cn", ":fire:"],
    "SKU-12345 AB-12-3456 COVID-19 UTF-8 T-shirt AB-1234x": ["SKU-12345", "AB-12-3456"],
    "#summersale, #1 and {n, plural, one {# item} other {# items}}": [],
    "{see the manual} {note: read it}": [],
}


def kept_in(text: str) -> list[str]:
    return list(protect(text, limit=100).values)


@pytest.mark.parametrize(("text", "placeholders"), FOUND.items())
def test_placeholders_are_found_and_prose_is_not(text: str, placeholders: list[str]) -> None:
    assert kept_in(text) == placeholders


def test_marks_are_numbered_by_first_appearance_and_equal_values_share_one() -> None:
    protected = protect("{b} then {a}, {b} again")
    assert protected == ProtectedText("\ue000 then \ue001, \ue000 again", ("{b}", "{a}", "{b}"))


def test_a_translation_may_reorder_marks() -> None:
    assert restore("先\ue001后\ue000", ("{a}", "{b}")) == "先{b}后{a}"


@pytest.mark.parametrize(
    "translated",
    ["\ue000", "\ue000\ue001\ue001", "\ue000\ue000\ue001\ue002", "\ue000\ue000", "plain", "\ue000\ue000\ue001\uf8ff"],
)
def test_a_lost_repeated_or_invented_mark_is_no_translation(translated: str) -> None:
    assert restore(translated, ("{a}", "{a}", "{b}")) is None


def test_a_mark_without_placeholders_is_no_translation() -> None:
    assert restore("fine", ()) == "fine"
    assert restore("in\ue000vented", ()) is None


def test_a_text_that_was_not_cleaned_is_never_restored_wrongly() -> None:
    assert restore(*protect("\ue000 and {a}")) is None


def test_placeholders_beyond_the_limit_stay_in_the_text() -> None:
    text = "Take {a}, {b}, {a} and {c} home"
    protected = protect(text, limit=2)
    assert protected == ProtectedText("Take \ue000, \ue001, \ue000 and {c} home", ("{a}", "{b}", "{a}"))
    pieces = split(protected.text)
    translated = join(pieces, ["Nimm \ue000, \ue001, \ue000 und", "mit"])
    assert restore(translated, protected.values) == "Nimm {a}, {b}, {a} und {c} mit"


def test_splitting_keeps_blanks_and_loose_punctuation() -> None:
    pieces = split("  Dear {name}, {title}!\n\nSee https://a.com.\n")
    assert pieces == [
        TextPiece("  ", False),
        TextPiece("Dear", True),
        TextPiece(" {name}, {title}", False),
        TextPiece("!\n\nSee", True),
        TextPiece(" https://a.com.\n", False),
    ]
    assert join(pieces, [" Liebe ", "!\n\nSiehe"]) == "  Liebe {name}, {title}!\n\nSiehe https://a.com.\n"


@pytest.mark.parametrize("translations", [[], ["one", "two"]])
def test_joining_asks_for_one_translation_per_text_piece(translations: list[str]) -> None:
    with pytest.raises(ValueError, match="one translation"):
        join(split("Hello {name}"), translations)


@given(CLEANED, st.integers(0, 8))
def test_restoring_undoes_protecting(text: str, limit: int) -> None:
    assert restore(*protect(text, limit)) == text


@given(TEXTS)
def test_joining_the_untranslated_pieces_gives_the_text(text: str) -> None:
    pieces = split(text)
    assert join(pieces, [piece.text for piece in pieces if piece.is_text]) == text
    assert all(one.is_text != other.is_text for one, other in pairwise(pieces))


@given(CLEANED, st.integers(0, 8))
def test_the_result_has_every_placeholder_as_often_as_the_source(text: str, limit: int) -> None:
    protected = protect(text, limit)
    pieces = split(protected.text)
    result = restore(join(pieces, [piece.text for piece in pieces if piece.is_text]), protected.values)
    assert result is not None
    assert Counter(kept_in(result)) == Counter(kept_in(text))


@given(TEXTS)
def test_a_cleaned_text_never_contains_a_mark(text: str) -> None:
    assert not any("\ue000" <= char <= "\uf8ff" for char in clean(text))


HOSTILE = (
    "< { % {{ ${ {a, {a} {% %1 %( %-+ %% a@ @a a@b. :a :a: http:// http://! www. www.! AB- AB-1 <a_b=' <a_b= 1 a A -"
)


@pytest.mark.parametrize("part", HOSTILE.split())
def test_200_kb_of_hostile_text_take_at_most_linear_time(part: str) -> None:
    part = part.replace("_", " ")
    started = time.process_time()
    for hostile in ((part * 200_000)[:200_000], part + "1" * 200_000 + "a", part + "!" * 200_000, part + " " * 200_000):
        protect(hostile)
        split(hostile)
    assert time.process_time() - started < 5  # about 0.5 s; quadratic would be minutes
