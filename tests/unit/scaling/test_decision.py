"""One decision: how many workers these figures ask for."""

from dataclasses import replace

import pytest

from lengthwise.scaling.decision import (
    DEADLINE_SHARE,
    SATURATED_SECONDS,
    DueWork,
    Load,
    ScalingMemory,
    ScalingPolicy,
    decide,
)
from tests.unit.scaling.cluster import POLICY

#: Workers are there at once, and stop at once.
AT_ONCE = replace(POLICY, start_seconds=0, settle_seconds=0, max_workers=1000)


def load(*due: DueWork, running: int = 0, live: int = 0, busy: int = 0, tokens_per_second: float | None = None) -> Load:
    return Load(sum(each.tokens for each in due) - running, running, due, live, busy, tokens_per_second)


def soft(tokens: int, seconds: float = 900) -> DueWork:
    return DueWork(seconds, tokens, is_deadline=False)


def hard(tokens: int, seconds: float) -> DueWork:
    return DueWork(seconds, tokens, is_deadline=True)


def desired(given: Load, policy: ScalingPolicy = AT_ONCE, memory: ScalingMemory | None = None, now: float = 0) -> int:
    return decide(given, policy, memory or ScalingMemory(), now)[0].desired


def test_nothing_to_do_needs_no_worker() -> None:
    assert desired(load()) == 0
    assert desired(load(soft(0), hard(0, 60))) == 0


def test_the_least_work_needs_one_worker() -> None:
    assert desired(load(soft(1))) == 1
    assert desired(load(hard(1, 3600))) == 1


@pytest.mark.parametrize(("tokens", "workers"), [(900_000, 1), (900_001, 2), (9_000_000, 10)])
def test_work_without_a_deadline_is_spread_over_the_drain_time(tokens: int, workers: int) -> None:
    assert desired(load(soft(tokens))) == workers


def test_work_with_a_deadline_uses_a_part_of_the_time_up_to_there() -> None:
    assert desired(load(hard(1_000_000, 1000 / DEADLINE_SHARE))) == 1
    assert desired(load(hard(4_000_000, 1000 / DEADLINE_SHARE))) == 4


def test_the_work_up_to_each_due_time_must_fit() -> None:
    near, far = hard(500_000, 1000), hard(500_000, 100_000)
    assert desired(load(near, far)) == 1
    assert desired(load(near, replace(far, seconds=1000))) == 2
    assert desired(load(soft(900_000, 900), replace(near, seconds=1900))) == 2


def test_much_work_that_is_due_late_does_not_hurry_because_of_a_little_that_is_due_soon() -> None:
    assert desired(load(hard(1000, 60), hard(10_000_000, 86_400))) == 1


def test_overdue_work_is_hurried_but_not_without_end() -> None:
    assert desired(load(soft(90_000, -5000))) == 1
    assert desired(load(soft(900_000, -5000))) == 10


def test_the_start_of_new_workers_is_part_of_the_time() -> None:
    slow = replace(AT_ONCE, start_seconds=450)
    assert desired(load(soft(900_000)), slow) == 2
    assert desired(load(soft(900_000), live=1), slow) == 1


def test_nobody_is_asked_for_who_would_come_after_the_deadline() -> None:
    slow = replace(AT_ONCE, start_seconds=300)
    assert desired(load(hard(10**9, 299)), slow) == 1
    assert desired(load(hard(10**9, 299), live=3), slow) == 3


@pytest.mark.parametrize("live", [0, 3])
def test_workers_that_were_asked_for_count_while_they_start(live: int) -> None:
    slow = replace(POLICY, start_seconds=300, settle_seconds=0, max_workers=1000)
    first, memory = decide(load(hard(10_000_000, 3600), live=live), slow, ScalingMemory(), 0)
    for now in range(15, 300, 15):
        left = hard(10_000_000 - live * 1000 * now, 3600 - now)
        later, memory = decide(load(left, live=live), slow, memory, now)
        assert later.desired == first.desired


def test_the_limits_hold() -> None:
    assert desired(load(soft(10**12)), replace(AT_ONCE, max_workers=7)) == 7
    assert desired(load(), replace(AT_ONCE, min_workers=2)) == 2
    assert desired(load(soft(10**12), busy=9, live=9), replace(AT_ONCE, max_workers=7)) == 7
    assert desired(load(soft(10**12)), replace(AT_ONCE, max_workers=0)) == 0


def test_there_are_never_fewer_than_hold_a_lease() -> None:
    assert desired(load(soft(1), running=1, busy=5, live=8)) == 5


def test_fewer_are_wanted_only_once_fewer_were_enough_for_the_time_to_settle() -> None:
    policy = replace(AT_ONCE, settle_seconds=300)
    memory, given = ScalingMemory(), {}
    for now in range(0, 700, 20):
        tokens = 4_500_000 if now == 0 else 1_800_000 if now <= 100 else 0
        decision, memory = decide(load(soft(tokens)), policy, memory, now)
        given[now] = decision.desired
    assert [given[now] for now in (0, 280, 300, 380, 400, 680)] == [5, 5, 2, 2, 0, 0]


def test_workers_are_kept_while_they_start_however_short_the_time_to_settle_is() -> None:
    policy = replace(AT_ONCE, settle_seconds=0, start_seconds=600)
    _, memory = decide(load(soft(1_000_000)), policy, ScalingMemory(), 0)
    assert desired(load(), policy, memory, 599) > 0
    assert desired(load(), policy, memory, 600) == 0


def test_a_new_process_does_not_take_the_workers_away_that_it_finds() -> None:
    policy = replace(AT_ONCE, settle_seconds=300)
    decision, memory = decide(load(live=8), policy, ScalingMemory(), 1000)
    assert (decision.desired, decision.needed) == (8, 0)
    assert desired(load(live=8), policy, memory, 1299) == 8
    assert desired(load(live=8), policy, memory, 1300) == 0


def test_the_memory_stays_small() -> None:
    policy = replace(AT_ONCE, settle_seconds=10**6)
    memory = ScalingMemory()
    for now in range(5000):
        _, memory = decide(load(soft(9_000_000 - now)), policy, memory, now)
    assert len(memory.wanted) <= policy.max_workers + 1
    assert len(memory.wanted) < 20


class TestRate:
    """The rate of one worker: the setting, until one was measured under load."""

    def test_without_a_measurement_the_setting_counts(self) -> None:
        assert desired(load(soft(900_000)), replace(AT_ONCE, tokens_per_second=100)) == 10

    def test_a_measured_rate_counts_once_the_workers_were_fully_loaded_for_a_while(self) -> None:
        full = load(soft(900_000), running=1000, live=1, busy=1, tokens_per_second=100)
        first, memory = decide(full, AT_ONCE, ScalingMemory(), 0)
        assert first.tokens_per_second == 1000
        later, memory = decide(full, AT_ONCE, memory, SATURATED_SECONDS)
        assert (later.tokens_per_second, later.desired) == (100, 10)
        idle, _ = decide(load(), AT_ONCE, memory, SATURATED_SECONDS + 1)
        assert idle.tokens_per_second == 100, "it is remembered"

    def test_the_rate_of_workers_that_wait_for_work_does_not_count(self) -> None:
        trickle = load(soft(20), running=20, live=1, busy=1, tokens_per_second=2)
        memory = ScalingMemory()
        for now in range(0, 600, 15):
            _, memory = decide(trickle, AT_ONCE, memory, now)
        burst, _ = decide(load(soft(900_000), running=20, live=1, busy=1, tokens_per_second=2), AT_ONCE, memory, 600)
        assert burst.desired == 1
