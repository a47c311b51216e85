"""How long the shards of a model that cannot be loaded are put off."""

from hypothesis import given
from hypothesis import strategies as st

from lengthwise.settings import Settings
from worker.generation import postponement

#: More failures than a shard's column can count are never reached.
MOST = 2**15 - 1


@given(n_delays=st.integers(0, 200))
def test_what_was_waited_is_the_sum_of_the_delays(n_delays: int) -> None:
    assert postponement._waited_seconds(n_delays) == sum(map(postponement._delay_seconds, range(n_delays)))


@given(n_before=st.integers(0, MOST))
def test_each_delay_is_as_long_as_the_one_before_or_longer_and_a_minute_at_most(n_before: int) -> None:
    assert 2 <= postponement._delay_seconds(n_before) <= postponement._delay_seconds(n_before + 1) <= 60


def test_the_longest_wait_ends_before_the_tries_can_no_longer_be_counted() -> None:
    [limit] = [each.le for each in Settings.model_fields["model_wait_seconds"].metadata if hasattr(each, "le")]
    assert postponement._waited_seconds(MOST) > limit
