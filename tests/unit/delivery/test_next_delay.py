"""When a failed webhook is retried."""

from itertools import count
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.delivery.outcome import DELAYS, next_delay


class Middle(Random):
    """A random source without jitter."""

    def random(self) -> float:
        return 0.5


def schedule(rng: Random) -> list[float]:
    delays: list[float] = []
    for attempt in count(1):
        delay = next_delay(attempt, None, rng)
        if delay is None:
            return delays
        delays.append(delay)
    raise AssertionError("the schedule has no end")


def test_the_retries_span_about_76_hours() -> None:
    assert sum(schedule(Middle())) == pytest.approx(76 * 3600, rel=0.01)


@given(st.randoms(use_true_random=False))
def test_each_delay_is_within_a_fifth_of_the_schedule(rng: Random) -> None:
    for delay, middle in zip(schedule(rng), DELAYS, strict=True):
        assert 0.8 * middle <= delay <= 1.2 * middle


def test_two_deliveries_that_failed_together_are_not_retried_together() -> None:
    assert len({next_delay(1, None, Random(seed)) for seed in range(100)}) > 90


@given(st.integers(1, len(DELAYS)), st.floats(0, 1e9), st.randoms(use_true_random=False))
def test_retry_after_is_respected_up_to_a_day(attempt: int, wish: float, rng: Random) -> None:
    delay = next_delay(attempt, wish, rng)
    assert delay is not None
    assert min(wish, 86_400) <= delay <= max(1.2 * DELAYS[attempt - 1], min(wish, 86_400))


def test_retry_after_does_not_extend_a_schedule_that_ran_out() -> None:
    assert next_delay(len(DELAYS) + 1, 60, Random(1)) is None


def test_attempts_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="from 1"):
        next_delay(0, None, Random(1))
