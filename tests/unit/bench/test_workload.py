"""The engine's workloads: every round has the same work, but shares no text with others except the prefix."""

from itertools import pairwise

import pytest

from benchmarks.engine.workload import FIRST_WORD, PAD, PREFIX_TOKENS, WORKLOADS


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_rounds_differ_only_in_their_words(name: str) -> None:
    workload = WORKLOADS[name]
    rounds = [workload.items(50, number) for number in range(3)]
    for items in rounds:
        sizes = [(len(item.tokens) - workload.n_prefix, item.n_output) for item in items]
        assert sizes == workload.drawn(50)
        assert all(FIRST_WORD <= token < PAD for item in items for token in item.tokens)
    for before, after in pairwise(rounds):
        ends = workload.n_prefix
        assert all(one.tokens[:ends] == other.tokens[:ends] for one, other in zip(before, after, strict=True))
        assert all(one.tokens[ends:] != other.tokens[ends:] for one, other in zip(before, after, strict=True))


def test_lengths_match_the_workloads_description() -> None:
    sources = sorted(size.n_input for size in WORKLOADS["w1"].drawn(2000))
    assert 23 <= sources[1000] <= 27
    assert 150 <= sources[1980] <= 250
    assert {size.n_output for size in WORKLOADS["w2"].drawn(100)} == {8}
    assert {len(item.tokens) > PREFIX_TOKENS for item in WORKLOADS["w2"].items(100, 1)} == {True}
    outputs = sorted(size.n_output for size in WORKLOADS["w3"].drawn(2000))
    assert 58 <= outputs[1000] <= 70
    assert 300 <= outputs[1980] <= 500
