"""Which requests run together."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.sharding import ArrivalOrder
from worker.engine.protocol import Architecture, Capabilities
from worker.generation.plan import pack, plan, planner

LENGTHS = st.lists(st.integers(1, 600), max_size=200)
TOKENS = st.integers(1, 4096)
ROWS = st.integers(1, 64)
FEW = st.integers(1, 24)

Cut = Callable[[list[int], int, int], list[list[int]]]


def padded(batches: list[list[int]], lengths: list[int]) -> int:
    return sum(len(batch) * max(lengths[index] for index in batch) for batch in batches)


def arrival(lengths: list[int], tokens: int, rows: int) -> list[list[int]]:
    """The batches in order of arrival, within the same limits."""
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


@given(LENGTHS, TOKENS, ROWS, FEW)
def test_no_batch_exceeds_its_budgets_unless_a_single_request_does(
    lengths: list[int], tokens: int, rows: int, few: int
) -> None:
    for batch in plan(lengths, tokens, rows, few):
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
def test_requests_are_ordered_longest_first(cut: Cut, lengths: list[int], tokens: int, rows: int) -> None:
    order = [lengths[index] for batch in cut(lengths, tokens, rows) for index in batch]
    assert order == sorted(lengths, reverse=True)


@given(LENGTHS, TOKENS, ROWS)
def test_no_row_is_mostly_padding(lengths: list[int], tokens: int, rows: int) -> None:
    for batch in plan(lengths, tokens, rows):
        assert all(2 * lengths[index] >= lengths[batch[0]] for index in batch)


@given(LENGTHS, TOKENS, ROWS, st.integers(2, 24))
def test_rows_that_are_mostly_padding_are_few(lengths: list[int], tokens: int, rows: int, few: int) -> None:
    for batch in plan(lengths, tokens, rows, few):
        padded = [lengths[index] for index in batch if 2 * lengths[index] < lengths[batch[0]]]
        assert not any(2 * last >= first for first, last in zip(padded, padded[few - 1 :], strict=False))


@given(LENGTHS, TOKENS, ROWS, FEW)
def test_a_small_batch_holds_only_what_did_not_fit_another(
    lengths: list[int], tokens: int, rows: int, few: int
) -> None:
    batches = plan(lengths, tokens, rows, few)
    for before, batch in pairwise(batches):
        had_room = len(before) < rows and (len(before) + 1) * lengths[before[0]] <= tokens
        like = sum(2 * length >= lengths[batch[0]] for length in lengths if length <= lengths[batch[0]])
        assert like >= few or not had_room


ENGINE = Capabilities(Architecture.CLASSIFIER, 512, "cpu", "none")
MIXED = [40] * 20 + [10] * 3


@pytest.mark.parametrize(
    ("engine", "batches"),
    [
        (ENGINE, 2),
        (replace(ENGINE, architecture=Architecture.ENCODER_DECODER), 1),
        (replace(ENGINE, architecture=Architecture.DECODER_ONLY, is_packed=True), 1),
    ],
)
def test_a_few_short_rows_get_their_own_batch_if_that_costs_no_steps(engine: Capabilities, batches: int) -> None:
    assert len(planner(engine)(MIXED, 4096, 64)) == batches


@given(LENGTHS, TOKENS, ROWS)
def test_the_baseline_is_what_batches_in_order_of_arrival_would_compute(
    lengths: list[int], tokens: int, rows: int
) -> None:
    order = ArrivalOrder(tokens, rows)
    order.add(lengths)
    assert order.padded == padded(arrival(lengths, tokens, rows), lengths)


def test_mixed_lengths_need_a_fraction_of_the_padding_of_arrival_order() -> None:
    """Not true of every input: for twenty 1s and then one 10, arrival order may pad less in as many batches."""
    random = Random(1)
    for _ in range(20):
        lengths = [max(1, round(random.lognormvariate(3.2, 0.9))) for _ in range(2000)]
        waste = padded(plan(lengths, 4096, 64), lengths) - sum(lengths)
        assert waste < 0.1 * (padded(arrival(lengths, 4096, 64), lengths) - sum(lengths))
