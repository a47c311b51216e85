"""What is counted before a translation must be counted after it."""

from collections import Counter

import pytest

from lengthwise.text.protection import ALL, Convention, counts


def test_each_placeholder_is_counted_as_often_as_it_stands_there() -> None:
    assert counts("%s and %d, {name} and %s", ALL) == Counter({"%s": 2, "%d": 1, "{name}": 1})
    assert counts("just words, 50% off", ALL) == Counter()
    assert counts("%s", ALL - {Convention.PRINTF}) == Counter()


@pytest.mark.parametrize(
    "translated",
    [
        "Hallo %{name}",
        "Hallo %{name}, %s",
        "Hallo %{nom} %d",
        "%d Hallo %{name} %{name}",
        "Hallo % {name} %d",
        "Hallo %{name} %D",
        "Hallo %{name} %d{}",
    ],
)
def test_a_lost_repeated_changed_or_invented_placeholder_is_seen(translated: str) -> None:
    assert counts(translated, ALL) != counts("Hello %{name} %d", ALL)


def test_the_order_of_placeholders_does_not_count() -> None:
    assert counts("%d: Hallo %{name}", ALL) == counts("Hello %{name}, %d", ALL)


MESSAGE = "{n, plural, one {# item of {x}} other {# items of {x}}}"


def test_a_message_is_counted_by_its_structure_and_not_by_its_words() -> None:
    assert counts(MESSAGE, ALL) == Counter({"{n, plural, one {#{x}} other {#{x}}}": 1})
    assert counts(MESSAGE, ALL) == counts("{n, plural, one {{x}: # Teil} other {{x}: # Teile}}", ALL)


@pytest.mark.parametrize(
    "translated",
    [
        "{n, plural, one {# Teil von {x}} other {# Teile}}",
        "{n, plural, one {# Teil von {x}} other {# # Teile von {x}}}",
        "{n, plural, one {Teil von {x}} other {# # Teile von {x}}}",
        "{n, plural, eins {# Teil von {x}} other {# Teile von {x}}}",
        "{n, plural, other {# Teile von {x}} one {# Teil von {x}}}",
        "{n, Plural, one {# Teil von {x}} other {# Teile von {x}}}",
        "{n, plural, one {# Teil d'{x}} other {# Teile von {x}}}",
        "{n, plural, one {# Teil von {x}} other {# Teile von {x}}",
        "",
    ],
)
def test_a_changed_message_is_seen(translated: str) -> None:
    assert counts(translated, ALL) != counts(MESSAGE, ALL)


def test_marks_are_counted_wherever_a_model_puts_them() -> None:
    prompt, answer = "See \ue000 and \ue001%s", "请看\ue000和\ue001%s吧"
    assert counts(prompt, ALL) == counts(answer, ALL) == Counter({"\ue000": 1, "\ue001": 1, "%s": 1})
    assert counts(answer + "{}", ALL) != counts(prompt, ALL)
