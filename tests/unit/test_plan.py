"""Which requests run together."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.sharding import ArrivalOrder
from worker.plan import pack, plan

LENGTHS = st.lists(st.integers(1, 600), max_size=200)
TOKENS = st.integers(1, 4096)
ROWS = st.integers(1, 64)

Cut = Callable[[list[int], int, int], list[list[int]]]


def padded(batches: list[list[int]], lengths: list[int]) -> int:
    return sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)


def arrival(lengths: list[int], tokens: int, rows: int) -> list[list[int]]:
    """The batches of arrival order under the same limits."""
    batches: list[list[int]] = []
    for index, length in enumerate(lengths):
        batch = batches[-1] if batches else []
        longest = max([length, *(lengths[other] for other in batch)])
        if batch and len(batch) < rows and (len(batch) + 1) * longest <= tokens:
            batch.append(index)
        else:
            batches.append([index])
    return batches


@pytest.mark.parametrize("cut", [plan, pack])
@given(LENGTHS, TOKENS, ROWS)
def test_every_request_is_in_exactly_one_batch(cut: Cut, lengths: list[int], tokens: int, rows: int) -> None:
    assert sorted(index for batch in cut(lengths, tokens, rows) for index in batch) == list(range(len(lengths)))


@given(LENGTHS, TOKENS, ROWS)
def test_no_batch_is_over_its_budgets_but_a_request_that_is_so_alone(
    lengths: list[int], tokens: int, rows: int
) -> None:
    for batch in plan(lengths, tokens, rows):
        assert 1 <= len(batch) <= rows
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= tokens


@given(LENGTHS, TOKENS, ROWS)
def test_packed_batches_are_as_full_as_their_order_allows(lengths: list[int], tokens: int, rows: int) -> None:
    batches = pack(lengths, tokens, rows)
    sizes = [[lengths[index] for index in batch] for batch in batches]
    for number, size in enumerate(sizes):
        assert 1 <= len(size) <= rows
        assert len(size) == 1 or sum(size) <= tokens
        if number + 1 < len(sizes):
            assert len(size) == rows or sum(size) + sizes[number + 1][0] > tokens


@pytest.mark.parametrize("cut", [plan, pack])
@given(LENGTHS, TOKENS, ROWS)
def test_the_longest_come_first_throughout(cut: Cut, lengths: list[int], tokens: int, rows: int) -> None:
    order = [lengths[index] for batch in cut(lengths, tokens, rows) for index in batch]
    assert order == sorted(lengths, reverse=True)


@given(LENGTHS, TOKENS, ROWS)
def test_no_row_is_mostly_padding(lengths: list[int], tokens: int, rows: int) -> None:
    for batch in plan(lengths, tokens, rows):
        assert all(2 * lengths[index] >= lengths[batch[0]] for index in batch)


@given(LENGTHS, TOKENS, ROWS)
def test_the_figure_to_beat_is_what_arrival_order_would_compute(lengths: list[int], tokens: int, rows: int) -> None:
    order = ArrivalOrder(tokens, rows)
    order.add(lengths)
    assert order.padded == padded(arrival(lengths, tokens, rows), lengths)


def test_on_mixed_lengths_padding_is_a_fraction_of_arrival_orders() -> None:
    """Not so for every input: of twenty 1s and then one 10, arrival order may pad less, though in no fewer batches."""
    random = Random(1)
    for _ in range(20):
        lengths = [max(1, round(random.lognormvariate(3.2, 0.9))) for _ in range(2000)]
        waste = padded(plan(lengths, 4096, 64), lengths) - sum(lengths)
        assert waste < 0.1 * (padded(arrival(lengths, 4096, 64), lengths) - sum(lengths))
