"""What is served before a new job's last item."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.ledger.queue.ahead import QueuedTokens, tokens_ahead

OWN, OTHER, THIRD = (UUID(int=number) for number in (1, 2, 3))


def queued(tenant: UUID, n_tokens: int, priority: int = 1, weight: float = 1.0) -> QueuedTokens:
    return QueuedTokens(tenant, priority, weight, n_tokens)


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [
        ([], 0),
        ([queued(OWN, 50)], 50),
        ([queued(OTHER, 50, priority=0)], 50),
        ([queued(OWN, 50, priority=2), queued(OTHER, 50, priority=2)], 0),
        ([queued(OTHER, 50)], 50),
        ([queued(OTHER, 1_000)], 100),
        ([queued(OTHER, 1_000, weight=2)], 200),
        ([queued(OTHER, 1_000), queued(THIRD, 30)], 130),
        ([queued(OWN, 20), queued(OTHER, 1_000)], 20 + 120),
        ([queued(OWN, 7, priority=0), queued(OTHER, 1_000)], 7 + 100),
    ],
)
def test_others_are_served_up_to_their_share_and_what_is_urgent_and_earlier_whole(
    waiting: list[QueuedTokens], expected: int
) -> None:
    assert tokens_ahead(queued(OWN, 100), waiting) == expected


def test_a_tenant_of_half_the_weight_waits_twice_as_long() -> None:
    assert tokens_ahead(queued(OWN, 100, weight=0.5), [queued(OTHER, 1_000)]) == 200


@given(
    own=st.integers(0, 1000),
    waiting=st.lists(
        st.builds(
            queued,
            st.sampled_from([OWN, OTHER, THIRD]),
            st.integers(0, 1000),
            st.integers(0, 2),
            st.sampled_from([0.5, 1.0, 3.0]),
        ),
        max_size=6,
    ),
)
def test_it_is_never_more_than_what_waits_and_grows_with_the_job(own: int, waiting: list[QueuedTokens]) -> None:
    found = tokens_ahead(queued(OWN, own), waiting)
    assert 0 <= found <= sum(each.n_tokens for each in waiting)
    assert found <= tokens_ahead(queued(OWN, own + 10), waiting)
