"""Sorting a chunk into shards, the fair queue's tags, and the padding that arrival order would have cost."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.sharding import ArrivalOrder, Shard, bucket_of, cut, longest_of, start_tags

LENGTHS = st.lists(st.integers(1, 5_000), max_size=200)
TOKENS = st.integers(1, 100_000)


@given(lengths=LENGTHS, first=st.integers(0, 10**6), shard_items=st.integers(1, 70), tokens=TOKENS)
def test_every_item_is_in_one_shard_of_its_own_band(
    lengths: list[int], first: int, shard_items: int, tokens: int
) -> None:
    order, shards = cut(lengths, first, shard_items, tokens)
    assert sorted(order) == list(range(len(lengths)))
    assert [at for shard in shards for at in range(shard.lo, shard.hi)] == list(range(first, first + len(lengths)))
    for shard in shards:
        inside = [lengths[order[at - first]] for at in range(shard.lo, shard.hi)]
        assert 0 < len(inside) <= shard_items
        assert {bucket_of(length) for length in inside} == {shard.bucket}
        assert sum(inside) == shard.n_tokens
        assert len(inside) == 1 or len(inside) * max(inside) <= tokens


@given(lengths=LENGTHS, shard_items=st.integers(1, 70), tokens=TOKENS)
def test_items_are_sorted_by_length_and_equal_ones_keep_their_order(
    lengths: list[int], shard_items: int, tokens: int
) -> None:
    order, shards = cut(lengths, 0, shard_items, tokens)
    assert order == sorted(order, key=lambda index: (lengths[index], index))
    for one, other in pairwise(shards):
        width = lengths[order[other.lo]]
        is_full = one.hi - one.lo == shard_items or (one.hi - one.lo + 1) * width > tokens
        assert one.bucket < other.bucket or is_full


def test_bands_end_at_powers_of_two_and_halfway_between() -> None:
    ends = [length for length in range(1, 3_000) if bucket_of(length) != bucket_of(length + 1)]
    assert ends == [8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048]
    assert [bucket_of(length) for length in (1, 8, 9, 12, 13, 16, 17)] == [0, 0, 1, 1, 2, 2, 3]


@given(length=st.integers(9, 10**9))
def test_a_band_spans_at_most_a_factor_of_one_and_a_half(length: int) -> None:
    assert bucket_of(length) <= bucket_of(length + 1) <= bucket_of(length) + 1
    assert bucket_of(length * 3 // 2 + 1) > bucket_of(length)


def naive_padding(lengths: list[int], batch_tokens: int, batch_rows: int) -> int:
    """A plain reference: a batch takes the next item as long as it stays within both limits."""
    batches: list[list[int]] = []
    for length in lengths:
        joined = [*batches[-1], length] if batches else []
        if joined and len(joined) <= batch_rows and len(joined) * max(joined) <= batch_tokens:
            batches[-1] = joined
        else:
            batches.append([length])
    return sum(len(batch) * max(batch) for batch in batches)


@given(lengths=LENGTHS, batch_tokens=st.integers(1, 10_000), batch_rows=st.integers(1, 70))
def test_arrival_order_is_counted_as_a_naive_batcher_would(
    lengths: list[int], batch_tokens: int, batch_rows: int
) -> None:
    arrival = ArrivalOrder(batch_tokens, batch_rows)
    middle = len(lengths) // 2
    arrival.add(lengths[:middle])
    arrival.add(lengths[middle:])
    assert arrival.padded == naive_padding(lengths, batch_tokens, batch_rows)
    assert arrival.padded >= sum(lengths)


@given(
    tokens=st.lists(st.integers(0, 10**6), max_size=50),
    start=st.floats(0, 10**9),
    weight=st.sampled_from([0.5, 1.0, 4.0]),
)
def test_each_tag_is_the_one_before_plus_the_shards_tokens(tokens: list[int], start: float, weight: float) -> None:
    tags = start_tags([Shard(0, 1, 0, n) for n in tokens], start, weight)
    assert tags[0] == start
    assert len(tags) == len(tokens) + 1
    assert all(b - a == pytest.approx(n / weight, abs=1e-3) for (a, b), n in zip(pairwise(tags), tokens, strict=True))


def test_tags_of_twice_the_weight_are_half_as_far_apart() -> None:
    shards = [Shard(0, 2, 0, 100), Shard(2, 3, 1, 60)]
    assert start_tags(shards, 7.0, 1.0) == [7.0, 107.0, 167.0]
    assert start_tags(shards, 7.0, 2.0) == [7.0, 57.0, 87.0]


@given(st.integers(0, 40))
def test_a_band_ends_with_its_longest_text(bucket: int) -> None:
    assert bucket_of(longest_of(bucket)) == bucket
    assert bucket_of(longest_of(bucket) + 1) == bucket + 1
