"""The self-attention cache while rows end: those that stay keep their keys and values, in place or copied together."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from worker.engine.transformer.attention.kv_past import keep_past, past_cache

HEADS, SIZE = 2, 16

#: Rounds of decoding: the number of tokens that every row writes, then the rows that stay.
rounds = st.lists(st.tuples(st.integers(0, 40), st.lists(st.integers(0, 11), min_size=1, max_size=12)), max_size=4)


@given(rounds, st.booleans())
def test_each_row_keeps_what_it_wrote_when_others_end(rounds: list[tuple[int, list[int]]], fp16: bool) -> None:
    past, generator = past_cache(2, fp16), torch.Generator().manual_seed(1)
    written = torch.empty(2, 2, 12, HEADS, 0, SIZE)  # keys and values of each layer
    for count, staying in [(1, list(range(12))), *rounds]:
        for _ in range(count):
            new = torch.randn(2, 2, written.shape[2], HEADS, 1, SIZE, generator=generator).half().float()
            written = torch.cat([written, new], dim=4)
            for number in range(2):
                past.layers[number].update(*new[number])
        rows = [row % written.shape[2] for row in staying]
        keep_past(past, rows)
        written = written[:, :, rows]
    for number, layer in enumerate(past.layers):
        for kept, expected in zip((layer.keys, layer.values), written[number], strict=True):
            assert torch.equal(kept[list(layer.rows), :, : layer.length].float(), expected)
