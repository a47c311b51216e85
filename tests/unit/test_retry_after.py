"""Reading the header Retry-After."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.retry_after import parse_retry_after

NOW = 1_700_000_000.0


def retry_after(value: bytes) -> float | None:
    return parse_retry_after([(b"Content-Type", b"text/plain"), (b"Retry-After", value)], NOW)


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


def test_without_the_header_retry_after_is_none() -> None:
    assert parse_retry_after([(b"content-type", b"text/plain")], NOW) is None


@pytest.mark.parametrize("ahead", [-3_600, 0, 3_600])
def test_a_date_counts_from_the_answers_own_date_whatever_this_hosts_clock(ahead: int) -> None:
    sent, until = (formatdate(NOW + ahead + seconds, usegmt=True).encode() for seconds in (0, 90))
    assert parse_retry_after([(b"Date", sent), (b"Retry-After", until)]) == 90
    assert parse_retry_after([(b"Date", b"soon"), (b"Retry-After", until)]) == 0, "then this host's clock has to do"


@given(st.binary() | st.from_regex(rb"[A-Za-z]{3}, [0-9]+ [A-Z][a-z]{2} [0-9]+ [0-9:]+ [-+A-Z0-9]+", fullmatch=True))
def test_no_value_of_retry_after_fails_or_leaves_its_bounds(value: bytes) -> None:
    seconds = retry_after(value)
    assert seconds is None or 0 <= seconds <= 86_400
