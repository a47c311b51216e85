"""Sources of a batch: encoded in bands of about equal length, and cached in memory of about their size."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.conftest import Load
from worker.engine.transformer.attention.kv_cross import CrossLayout
from worker.engine.transformer.decode.encoder_decoder import EncoderDecoderStepper, bands

LENGTHS = st.lists(st.integers(1, 400), min_size=1, max_size=150).map(sorted)


@given(LENGTHS, st.integers(0, 500))
def test_every_row_is_in_one_band_that_is_padded_by_so_much_at_most(lengths: list[int], padding: int) -> None:
    found = bands(lengths, padding)
    assert [row for first, last in found for row in range(first, last)] == list(range(len(lengths)))
    for first, last in found:
        assert sum(lengths[last - 1] - length for length in lengths[first:last]) <= padding


@given(LENGTHS, st.integers(0, 500))
def test_a_band_ends_only_where_another_row_would_be_too_much_padding(lengths: list[int], padding: int) -> None:
    for first, last in bands(lengths, padding)[1:]:
        assert sum(lengths[last - 1] - length for length in lengths[first - 1 : last]) > padding


@given(LENGTHS, st.data())
def test_rows_that_stay_keep_their_vectors_when_copied_together(lengths: list[int], data: st.DataObject) -> None:
    heads, before = 2, CrossLayout(lengths)
    rows = sorted(data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=40)))
    store = torch.arange(before.positions * heads)[:, None]
    after = CrossLayout([lengths[row] for row in rows])
    kept = store.index_select(0, before.index(rows, heads))
    for group in after.groups(0, len(rows)):
        for place, row in enumerate(rows[group.first : group.last]):
            start = before.starts[row] * heads
            expected = torch.arange(start, start + group.size * heads).view(heads, group.size, 1)
            assert torch.equal(after.view(kept, group)[place], expected)


@given(LENGTHS, st.data())
def test_rows_that_stay_in_place_are_found_there(lengths: list[int], data: st.DataObject) -> None:
    before = CrossLayout(lengths)
    rows = data.draw(st.lists(st.integers(0, len(lengths) - 1), min_size=1, max_size=40))
    after = before.kept(rows)
    assert after.starts == [before.starts[row] for row in rows]
    assert after.positions == before.positions
    again = after.kept([0])
    assert torch.equal(again.index([0], 2), before.index([rows[0]], 2))


@torch.inference_mode()
def test_rows_are_copied_together_once_most_have_ended(load: Load) -> None:
    engine = load("marian", "none")
    stepper = engine.stepper([[5 + number, 9, 2] for number in range(8)])
    alone = engine.stepper([[12, 9, 2]])
    tokens = torch.arange(10, 18)
    alone.start()
    stepper.start()
    assert isinstance(stepper, EncoderDecoderStepper)
    stepper.keep(list(range(1, 8)))
    stepper.step(tokens[1:])
    stepper.keep([6])
    assert stepper.positions == 32
    alone.step(tokens[7:])
    assert torch.equal(stepper.step(tokens[:1]), alone.step(tokens[:1]))


@torch.inference_mode()
def test_one_long_source_changes_no_bit_of_short_ones_and_costs_them_no_memory(load: Load) -> None:
    engine = load("marian", "int8")
    short = [[5 + number, 9, 2] for number in range(6)]
    alone, among = engine.stepper(short), engine.stepper([*short, [7] * 60])
    assert torch.equal(alone.start(), among.start()[:6])
    tokens = torch.arange(10, 17)
    assert torch.equal(alone.step(tokens[:6]), among.step(tokens)[:6])
    assert isinstance(among, EncoderDecoderStepper)
    assert among.positions == 6 * 32 + 64
