"""What a translation model reads of a text, and how its answers are put back."""

from collections.abc import Callable

import pytest

from lengthwise.kinds.kind import KindModel
from tests.unit.kinds.identity import identity_model, sentences_read, translation

COPIES = identity_model(placeholders="copy")
SPLITS = identity_model(placeholders="split")


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("I ate an apple.", ["I ate an apple."]),
        ("  I ate. He ate.\n\nDone", ["I ate.", "He ate.", "Done"]),
        ("- a\n  - b\n    - c", ["a", "b", "c"]),
        ("Name: ", ["Name:"]),
        ("<p>I <b>ate</b>.</p><p>Yes</p>", ["I \ue000ate\ue001.", "Yes"]),
        ("I ate.<br>He ate.", ["I ate.", "He ate."]),
        ("Caf&eacute; &amp; bar", ["Café & bar"]),
        ("Use &lt;p&gt; now", ["Use \ue000 now"]),
        ("Donau\u00addampf &amp; more", ["Donaudampf & more"]),
        ("Hello %{name}, I ate.", ["Hello \ue000, I ate."]),
        ("{a} and {b} and {a}", ["\ue000 and \ue001 and \ue000"]),
        ("{n, plural, one {# item} other {# items}}", ["\ue000 item", "\ue000 items"]),
        ("You have {n, plural, one {# item} other {# items}}.", ["You have \ue000.", "\ue000 item", "\ue000 items"]),
        ("```\nif x:\n    y = 1\n```", []),
        ("Run `make` in [the shell](http://x.y/z) now", ["Run \ue000 in \ue001the shell\ue002 now"]),
        ("\ue000 icon", ["icon"]),
        ("12345 {x} 6.7", []),
        ("", []),
        (" \n\t ", []),
        ("".join(f"{{p{number}}} is " for number in range(9)), ["is"] * 9),
    ],
)
def test_a_model_that_copies_marks_reads_sentences(text: str, read: list[str]) -> None:
    assert sentences_read(COPIES, text) == read


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Hello %{name}, I ate.", ["Hello", ", I ate."]),
        ("<p>I <b>ate</b> it.</p>", ["I", "ate", "it."]),
        ("You have {n, plural, one {# item} other {# items}}.", ["You have", "item", "items"]),
    ],
)
def test_another_model_reads_what_stands_between_placeholders(text: str, read: list[str]) -> None:
    assert sentences_read(SPLITS, text) == read
    assert sentences_read(COPIES, text, attempt=1) == read


def answering(answers: dict[str, str]) -> Callable[[str], str]:
    return lambda text: answers.get(text, text)


@pytest.mark.parametrize(
    ("text", "answers", "expected"),
    [
        ("猫。犬。", {"猫。": "Cat.", "犬。": "Dog."}, "Cat. Dog."),
        ("{a} is {b}", {"\ue000 is \ue001": "\ue001 ist \ue000"}, "{b} ist {a}"),
        ("Caf&eacute; bar", {"Café bar": "<b>Café</b> & é"}, None),
        ("Caf&eacute; &amp; bar", {"Café & bar": "1 < 2 & Café"}, "1 &lt; 2 &amp; Caf&eacute;"),
        ("Go to {place}.", {"Go to \ue000.": "Geh zu."}, None),
        ("Go to {place}.", {"Go to \ue000.": "Geh zu \ue000 \ue000."}, None),
        ("Go to {place}.", {"Go to \ue000.": "Geh zu \ue000 {ort}."}, None),
        ("Go home.", {"Go home.": "Geh %s heim."}, None),
        ("Go home.", {"Go home.": "Geh \ue000heim\ue003."}, "Geh heim."),
        ("<b>a</b> b <i>c</i> d", {"\ue000a\ue001 b \ue002c\ue003 d": "\ue002c\ue003 \ue000a\ue001"}, None),
        ("{n, plural, other {by {x}}}", {"by \ue000": "l'\ue000"}, "{n, plural, other {l''{x}}}"),
        ("{n, plural, other {by car}}", {"by car": "d'{auto"}, "{n, plural, other {d'''{'auto}}"),
        ("{n, plural, other {by car}}", {"by car": "Nr. #"}, "{n, plural, other {Nr. '#'}}"),
        ("{n, plural, other {by car}}", {"by car": "#{"}, "{n, plural, other {'#{'}}"),
        (
            "{n, plural, other {{g, select, other {by car}}}}",
            {"by car": "#"},
            "{n, plural, other {{g, select, other {#}}}}",
        ),
        ("{g, select, other {by car}}", {"by car": "Nr. #"}, "{g, select, other {Nr. #}}"),
        ("I like 🍎 a lot", {"I like 🍎 a lot": "Ich mag das sehr"}, None),
    ],
)
def test_answers_are_put_back_or_asked_for_again(text: str, answers: dict[str, str], expected: str | None) -> None:
    source, target = ("ja", "en") if "猫" in text else ("en", "de")
    assert translation(COPIES, text, answering(answers), source=source, target=target) == expected


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Welcome to <your name> here", "<b \ue000"),
        ("Welcome to <your name> here", "x <img src=x onerror=alert(1) \ue000"),
        ("Welcome to <your name> here", "<!-- \ue000"),
        ("Go home.", "<!-- heim"),
        ("Pay {price} now", "Zahle $\ue000"),
        ("Pay {price} now", "Zahle %\ue000"),
        ("Pay {price} now", "Zahle #\ue000"),
        ("Pay {price} now", "Zahle {\ue000"),
        ("Pay %s now", "Zahle \\\ue000"),
    ],
)
def test_words_make_no_placeholder_or_tag_with_what_follows_them(text: str, answer: str) -> None:
    assert translation(COPIES, text, lambda _: answer) is None


def test_words_make_no_tag_with_a_tag_of_another_sentence() -> None:
    assert translation(SPLITS, "One <your name>", lambda _: "<img src=x onerror=alert(1)") is None
    assert translation(SPLITS, "One <two.\nTwo > one.", lambda text: "<img src=x" if text[0] == "O" else text) is None
    assert translation(SPLITS, "One.\nTwo > one.", lambda text: "<img src=x" if text == "One." else text) is None


@pytest.mark.parametrize(
    "text",
    ["Pay {price}% now", "Pay ${price} now", "The price is %", "a <b", "{ is a brace", "5 > 3", "if x <y and\nso z> x"],
)
def test_what_the_source_has_may_stand_in_the_translation(text: str) -> None:
    assert translation(COPIES, text, str.swapcase) == text.swapcase().replace("{PRICE}", "{price}")


@pytest.mark.parametrize("model", [COPIES, SPLITS])
def test_a_word_that_is_no_placeholder_in_its_place_may_stay(model: KindModel) -> None:
    assert translation(model, "a :b$name, d", lambda text: f"⟦{text}⟧") in ("⟦a :b$name, d⟧", "⟦a⟧ :b⟦$name, d⟧")


@pytest.mark.parametrize("gap", ["\n", "\r\n", " \n\n ", "\t", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"])
@pytest.mark.parametrize("format_", ["text", "html", "markdown"])
def test_a_model_adds_no_line_and_no_column(gap: str, format_: str) -> None:
    assert translation(COPIES, "One\n\nTwo", lambda _: f"{gap}a{gap}b{gap}", format=format_) == "a b\n\na b"


def test_a_model_adds_no_control_character() -> None:
    assert translation(COPIES, "Go home", lambda _: "Geh\x00 heim\x1b\x7f") == "Geh heim"


def test_a_message_in_several_lines_keeps_them() -> None:
    text = "{n, plural,\n  one {# day}\n  other {# days}\n}"
    assert translation(COPIES, text, str.swapcase) == "{n, plural,\n  one {# DAY}\n  other {# DAYS}\n}"


@pytest.mark.parametrize("model", [COPIES, SPLITS])
def test_a_sentence_without_an_answer_stays_as_it_was(model: KindModel) -> None:
    answer = answering({"It was good.": " ", "It was &good.": ""})
    assert translation(model, "I ate. It was good.", answer) == "I ate. It was good."
    assert translation(model, "<p>It was &amp;good.</p>", answer) == "<p>It was &amp;good.</p>"


def test_a_small_word_may_have_no_translation() -> None:
    assert translation(SPLITS, "{a} of {b}", lambda _: "") == "{a}  {b}"


def test_emoji_that_a_model_loses_are_kept_in_the_second_attempt() -> None:
    answer = answering({"I like 👩‍👩‍👧 a lot": "Ich mag das", "I like": "Ich mag", "a lot": "sehr"})
    assert translation(COPIES, "I like 👩‍👩‍👧 a lot", answer) is None
    assert translation(COPIES, "I like 👩‍👩‍👧 a lot", answer, attempt=1) == "Ich mag 👩‍👩‍👧 sehr"


def test_blanks_between_sentences_follow_the_target_language() -> None:
    answer = answering({"One.": "一。", "Two.": "二。"})
    assert translation(COPIES, "One. Two.", answer, target="zh") == "一。二。"
    assert translation(COPIES, "One.  Two.", answer, target="zh") == "一。  二。"
    assert translation(COPIES, "One.\nTwo.", answer, target="zh") == "一。\n二。"


def test_only_the_named_conventions_are_kept() -> None:
    assert sentences_read(COPIES, "Hello {a} and %s", placeholders=["printf"]) == ["Hello {a} and \ue000"]
    assert sentences_read(COPIES, "Hello {a} and %s", placeholders=[]) == ["Hello {a} and %s"]


def test_the_format_of_a_job_is_that_of_its_texts() -> None:
    assert sentences_read(COPIES, "a &amp; b", format="html") == ["a & b"]
    assert sentences_read(COPIES, "a &amp; b", format="text") == ["a \ue000 b"]
    assert sentences_read(COPIES, "a *b* c", format="markdown") == ["a \ue000b\ue000 c"]


def test_a_sentence_that_is_too_long_is_read_in_parts_that_fit() -> None:
    model = identity_model(placeholders="copy", context=40)
    read = sentences_read(model, "and the lamp on the table, " * 20)
    assert len(read) > 10
    assert max(map(len, read)) <= 40
    assert all(part.endswith(",") for part in read)


@pytest.mark.parametrize(
    "text",
    [
        "# Title\n\n> A long paragraph that goes\n> over three lines of the\n> quote and ends here.\n",
        "- one item that\n  goes on and on\n- two and\n  more of it\n  still",
        "<p>Long words\n   in the paragraph <b>and\n bold</b> ones</p>",
        "<div>\n  one\n  two\n</div>",
        "**Sale**\nfifty off everything\ncome to the shop today",
    ],
)
def test_a_sentence_of_several_lines_has_as_many_in_its_translation(text: str) -> None:
    found = translation(COPIES, text, lambda sentence: sentence.upper().replace("E", "EE"))
    assert found is not None
    assert [len(line) - len(line.lstrip("> -")) for line in found.splitlines()] == [
        len(line) - len(line.lstrip("> -")) for line in text.splitlines()
    ]


def test_a_translation_without_blanks_has_lines_where_it_pauses() -> None:
    text = "# A\n\nwe eat apples and\nthen we go home"
    answer = answering({"we eat apples and then we go home": "我们吃苹果，然后我们回家"})
    assert translation(COPIES, text, answer, target="zh") == "# A\n\n我们吃苹果，\n然后我们回家"


def test_no_line_of_a_translation_begins_a_list() -> None:
    text = "# A\n\nwe eat and\nthen we go"
    answer = answering({"we eat and then we go": "wir gehen - 1. 2"})
    assert translation(COPIES, text, answer) == "# A\n\nwir\ngehen - 1. 2"
