"""What an attempt came to, read from a stranger's bytes."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.retry_after import retry_after_of
from worker.delivery.outcome import AttemptOutcome, head_of

NOW = 1_700_000_000.0


def retry_after(value: bytes) -> float | None:
    return retry_after_of([(b"Content-Type", b"text/plain"), (b"Retry-After", value)], NOW)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0),
        (b"120", 120),
        (b" 120 ", 120),
        (b"86401", 86_400),
        (b"9" * 10_000, 86_400),
        (formatdate(NOW + 60, usegmt=True).encode(), 60),
        (formatdate(NOW + 10**7, usegmt=True).encode(), 86_400),
        (formatdate(NOW - 60, usegmt=True).encode(), 0),
        (b"Tue, 14 Nov 2023 22:14:20 -0000", 60),
        (b"Tuesday, 14-Nov-23 22:14:20 GMT", 60),
        (b"Tue Nov 14 22:14:20 2023", 60),
        (b"-5", None),
        (b"1.5", None),
        (b"1e3", None),
        (b"soon", None),
        (b"", None),
        ("²".encode("latin-1"), None),
        (b"Tue, 99 Nov 2023 22:14:20 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_a_day(value: bytes, seconds: float | None) -> None:
    assert retry_after(value) == seconds


def test_without_the_header_there_is_no_wish() -> None:
    assert retry_after_of([(b"content-type", b"text/plain")], NOW) is None


@given(st.binary() | st.from_regex(rb"[A-Za-z]{3}, [0-9]+ [A-Z][a-z]{2} [0-9]+ [0-9:]+ [-+A-Z0-9]+", fullmatch=True))
def test_no_value_of_retry_after_fails_or_leaves_its_bounds(value: bytes) -> None:
    seconds = retry_after(value)
    assert seconds is None or 0 <= seconds <= 86_400


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_become_a_short_text_that_postgres_stores(body: bytes) -> None:
    head = head_of(body)
    assert len(head) <= 512
    assert "\x00" not in head
    assert "\x1b" not in head
    head.encode()


def test_plain_text_is_kept_as_it_is() -> None:
    assert head_of("näh\n\t".encode() * 3) == "näh\n\t" * 3


def test_the_head_is_not_in_a_repr() -> None:
    assert "secret" not in repr(AttemptOutcome(500, response_head="secret"))


@pytest.mark.parametrize(
    ("outcome", "delivered", "gone"),
    [
        (AttemptOutcome(200), True, False),
        (AttemptOutcome(299), True, False),
        (AttemptOutcome(199), False, False),
        (AttemptOutcome(302, "redirect"), False, False),
        (AttemptOutcome(410), False, True),
        (AttemptOutcome(500), False, False),
        (AttemptOutcome(error="timeout"), False, False),
    ],
)
def test_only_2xx_is_delivered_and_only_410_is_gone(outcome: AttemptOutcome, delivered: bool, gone: bool) -> None:
    assert (outcome.delivered, outcome.gone) == (delivered, gone)
