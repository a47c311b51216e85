"""The next step of a delivery after each outcome of an attempt."""

import pytest

from lengthwise.states import DeliveryState
from worker.delivery.deliver import next_step
from worker.delivery.outcome import DELAYS, AttemptOutcome

LAST = len(DELAYS) + 1


@pytest.mark.parametrize("attempt", [1, LAST])
def test_a_2xx_answer_ends_the_delivery_as_delivered(attempt: int) -> None:
    assert next_step(attempt, AttemptOutcome(status=299)) == (DeliveryState.DELIVERED, None)


@pytest.mark.parametrize("attempt", [1, LAST])
def test_a_410_ends_the_delivery_despite_retry_after(attempt: int) -> None:
    assert next_step(attempt, AttemptOutcome(status=410, retry_after=60)) == (DeliveryState.FAILED, None)


@pytest.mark.parametrize(
    "outcome",
    [
        AttemptOutcome(status=500),
        AttemptOutcome(error="timeout"),
        AttemptOutcome(status=302, error="redirect"),
        AttemptOutcome(status=400),
    ],
)
def test_any_other_outcome_is_retried_until_the_schedule_runs_out(outcome: AttemptOutcome) -> None:
    for attempt, delay in enumerate(DELAYS, 1):
        state, seconds = next_step(attempt, outcome)
        assert state is DeliveryState.PENDING
        assert seconds is not None
        assert 0.8 * delay <= seconds <= 1.2 * delay
    assert next_step(LAST, outcome) == (DeliveryState.FAILED, None)


def test_a_delivery_waits_as_long_as_retry_after_asks() -> None:
    state, seconds = next_step(1, AttemptOutcome(status=429, retry_after=500))
    assert state is DeliveryState.PENDING
    assert seconds == 500
