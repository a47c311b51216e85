"""How the page writes numbers and times."""

from datetime import UTC, datetime, timedelta

import pytest

from api.page import wording
from lengthwise.states import Reason


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (0.25, "0.2"), (4.2, "4.2"), (12.7, "13"), (1234567, "1,234,567")]
)
def test_a_number(value: float, shown: str) -> None:
    assert wording.number(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0"), (999, "999"), (1200, "1.2k"), (34_000_000, "34M"), (5_600_000_000, "5.6G")]
)
def test_a_short_number(value: float, shown: str) -> None:
    assert wording.short(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(0, "0.0%"), (0.00001, "< 0.1%"), (0.217, "21.7%"), (1, "100.0%")])
def test_a_share(value: float, shown: str) -> None:
    assert wording.share(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0 s"), (0.4, "0 s"), (59, "59 s"), (61, "1 min"), (3_700, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_a_span(seconds: float, shown: str) -> None:
    assert wording.span(seconds) == shown


def test_times() -> None:
    now = datetime.now(UTC)
    assert wording.ago(now - timedelta(minutes=2, seconds=1)) == "2 min ago"
    assert wording.ahead(now + timedelta(hours=2, seconds=1)) == "in 2 h"
    assert wording.moment(datetime(2031, 1, 31, 12, tzinfo=UTC)) == "2031-01-31 12:00:00"


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("nothing more happens", "nothing more happens"),
        ("start `lengthwise up`.", "start <code>lengthwise up</code>."),
        ("`a` <b>`<i>`", "<code>a</code> &lt;b&gt;<code>&lt;i&gt;</code>"),
        ("one ` alone", "one <code> alone</code>"),
    ],
)
def test_a_command_in_a_sentence_stands_out_and_nothing_else_is_html(sentence: str, shown: str) -> None:
    assert wording.with_code(sentence) == shown


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_has_a_tone(reason: Reason) -> None:
    assert wording.tone(reason.value) in ("bad", "warn", "calm", "good")
    assert (wording.tone(reason.value, n_failed=0) == "good") == (reason is Reason.ENDED)
    assert wording.tone(reason.value, n_failed=1) != "good"


@pytest.mark.parametrize(
    ("typed", "shown"), [("", "date"), ("2031-01-31", "date"), ("2031-02-30", "text"), ("yesterday", "text")]
)
def test_the_field_of_a_day_shows_what_is_no_day(typed: str, shown: str) -> None:
    assert wording.type_of_day(typed) == shown
