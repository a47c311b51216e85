"""Days of a simulated cluster: deadlines are kept, idle workers go, and the number does not flap."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.scaling.cluster import POLICY, POLL, Arrival, Cluster

HOUR = 3600.0
CONSTANT = [Arrival(at, 30_000) for at in range(0, 7200, 15)]
TRICKLE = [Arrival(at, 20) for at in range(0, 3600, 10)]
MILLION = Arrival(HOUR, 30_000_000)  # a million items of 30 tokens


def check_ends_idle(cluster: Cluster) -> None:
    """All work is done, and in the end there is no pod."""
    assert not cluster.open
    assert cluster.desired[-1] == 0 and not cluster.pods


def test_constant_work_has_constant_workers() -> None:
    cluster = Cluster(CONSTANT).run(3 * HOUR)
    steady = [each.desired for each in cluster.polled if HOUR <= each.at < 2 * HOUR]
    assert set(steady) <= {2, 3}, "2,000 tokens a second, and 1,000 for each worker"
    assert cluster.n_turns == 1
    check_ends_idle(cluster)


@pytest.mark.parametrize("seed", range(3))
def test_a_noisy_rate_does_not_make_it_flap(seed: int) -> None:
    cluster = Cluster(CONSTANT, noise=0.3, seed=seed).run(3 * HOUR)
    assert max(cluster.desired) <= 4
    assert cluster.n_turns <= 3
    check_ends_idle(cluster)


def test_a_burst_is_done_within_the_drain_time() -> None:
    cluster = Cluster([Arrival(60, 3_000_000)]).run(HOUR)
    assert cluster.ended_at[0] - 60 <= POLICY.drain_seconds
    assert cluster.n_turns == 1
    check_ends_idle(cluster)


def test_the_nightly_million_runs_at_the_limit_and_then_everything_goes() -> None:
    cluster = Cluster([MILLION]).run(4 * HOUR)
    assert max(cluster.desired) == POLICY.max_workers
    fastest = MILLION.tokens / (POLICY.max_workers * 1000)
    assert cluster.ended_at[0] - MILLION.at <= fastest + POLICY.start_seconds + 2 * POLL
    assert cluster.n_turns == 1
    check_ends_idle(cluster)


def test_the_nightly_million_with_the_whole_night_takes_few_workers() -> None:
    cluster = Cluster([replace(MILLION, deadline=8 * HOUR)]).run(12 * HOUR)
    assert not cluster.missed
    assert max(cluster.desired) <= 3
    check_ends_idle(cluster)


def test_a_trickle_keeps_one_worker() -> None:
    cluster = Cluster(TRICKLE).run(1.5 * HOUR)
    assert {each.desired for each in cluster.polled if each.at < HOUR} == {1}
    check_ends_idle(cluster)


def test_a_burst_after_a_trickle_is_not_judged_by_the_rate_of_the_trickle() -> None:
    cluster = Cluster([*TRICKLE, Arrival(1800, 1_000_000)]).run(1.5 * HOUR)
    assert max(cluster.desired) <= 3
    check_ends_idle(cluster)


@pytest.mark.parametrize(("tokens", "minutes"), [(100_000, 10), (1_200_000, 20), (5_000_000, 60)])
def test_a_deadline_is_kept_beside_a_large_job_without_one(tokens: int, minutes: int) -> None:
    cluster = Cluster([Arrival(0, 20_000_000), Arrival(600, tokens, deadline=minutes * 60)]).run(3 * HOUR)
    assert not cluster.missed
    check_ends_idle(cluster)


def test_while_nobody_answers_nothing_changes() -> None:
    silent = (300.0, 1500.0)
    cluster = Cluster([Arrival(0, 3_000_000)], away=(silent,)).run(2 * HOUR)
    assert not [each for each in cluster.polled if silent[0] <= each.at < silent[1]]
    before = [each.desired for each in cluster.polled if each.at < silent[0]]
    (first_after, *_) = [each.desired for each in cluster.polled if each.at >= silent[1]]
    assert first_after <= before[-1]
    assert cluster.n_turns == 1
    check_ends_idle(cluster)


def test_workers_that_compute_nothing_for_a_while_are_kept() -> None:
    stalled = (300.0, 1500.0)
    cluster = Cluster([Arrival(0, 3_000_000)], stalled=(stalled,)).run(2 * HOUR)
    during = [each.desired for each in cluster.polled if stalled[0] <= each.at < stalled[1]]
    assert during == sorted(during), "late work asks for more, never for fewer"
    check_ends_idle(cluster)


def test_pods_that_never_start_do_not_make_it_flap() -> None:
    cluster = Cluster([Arrival(0, 3_000_000)], start=10 * HOUR).run(2 * HOUR)
    assert cluster.n_turns == 0
    assert max(cluster.desired) == POLICY.max_workers


ARRIVALS = st.lists(
    st.builds(
        Arrival,
        at=st.floats(0, HOUR),
        tokens=st.integers(1, 5_000_000),
        deadline=st.none() | st.floats(60, 2 * HOUR),
    ),
    max_size=12,
)


@settings(max_examples=40)
@given(arrivals=ARRIVALS, noise=st.floats(0, 0.5), seed=st.integers(0, 99))
@example(arrivals=[], noise=0.0, seed=0)
def test_whatever_arrives_the_number_keeps_its_rules(arrivals: list[Arrival], noise: float, seed: int) -> None:
    seconds = 4 * HOUR
    cluster = Cluster(arrivals, noise=noise, seed=seed).run(seconds)
    for each in cluster.polled:
        assert POLICY.min_workers <= each.desired <= POLICY.max_workers
        assert each.desired >= min(each.busy, POLICY.max_workers)
        assert each.desired > 0 or each.waiting == 0
    # A fall comes after the time to settle, in which nothing rose.
    assert cluster.n_turns <= 2 * seconds / POLICY.settle_seconds + 1
    assert cluster.open or cluster.desired[-1] == 0


@settings(max_examples=40)
@given(
    window=st.floats(8 * POLICY.start_seconds, 4 * HOUR),
    load=st.floats(0.01, 1),
    others=st.lists(st.builds(Arrival, at=st.floats(0, HOUR), tokens=st.integers(1, 20_000_000)), max_size=5),
    noise=st.floats(0, 0.1),
)
def test_a_deadline_that_the_most_workers_can_keep_in_its_last_quarter_is_kept(
    window: float, load: float, others: list[Arrival], noise: float
) -> None:
    """From the last quarter on the job comes first. The workers that it needs must be there by then."""
    possible = POLICY.max_workers * 1000 * (window / 4 - POLICY.start_seconds - 2 * POLL)
    job = Arrival(900.0, max(1, int(0.8 * load * possible)), deadline=window)
    cluster = Cluster([*others, job], noise=noise).run(900 + window + 60)
    assert not cluster.missed


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_more_work_never_asks_for_fewer(seed: int) -> None:
    """Of two first decisions, that with more work or an earlier deadline asks for at least as many."""
    random = Random(seed)
    small = Cluster([Arrival(0, random.randint(1, 10**7), deadline=random.choice([None, 600.0, HOUR]))])
    more = replace(small.arrivals[0], tokens=small.arrivals[0].tokens * 2)
    large = Cluster([more], policy=small.policy)
    assert small.run(POLL).desired[0] <= large.run(POLL).desired[0]
