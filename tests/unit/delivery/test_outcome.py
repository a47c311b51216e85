"""The outcome of an attempt, made from untrusted bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.delivery.outcome import AttemptOutcome, excerpt


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_become_a_short_text_that_postgres_stores(body: bytes) -> None:
    head = excerpt(body)
    assert len(head) <= 512
    assert "\x00" not in head
    assert "\x1b" not in head
    head.encode()


def test_plain_text_is_kept_as_it_is() -> None:
    assert excerpt("näh\n\t".encode() * 3) == "näh\n\t" * 3


def test_the_repr_does_not_show_the_response() -> None:
    assert "secret" not in repr(AttemptOutcome(500, response_excerpt="secret"))


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
