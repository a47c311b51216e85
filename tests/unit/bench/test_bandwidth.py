"""The bytes that decoding reads, compared with sums computed by hand."""

import pytest

from benchmarks.engine.workload import Size
from benchmarks.gpu.bandwidth import MemoryReads
from benchmarks.gpu.shape import GPU_SHAPES

D, FF, LAYERS, WORDS = 64, 128, 2, 32_000  # shapes of the tiny models; every number has two bytes


def test_a_tied_embedding_is_read_at_every_step_and_an_untied_one_never() -> None:
    attention = D * D + 2 * D * D // 2 + D * D  # two of four heads have keys and values
    layer = attention + 3 * D * FF + 2 * D
    tied = MemoryReads.of(GPU_SHAPES["llama-tiny"])
    assert tied == MemoryReads(
        step=2 * (LAYERS * layer + D + WORDS * D), batch=0, past=2 * LAYERS * 2 * D // 2, source=0
    )
    large = 32 * (4 * 4096**2 + 3 * 4096 * 11_008 + 2 * 4096) + 4096 + 32_000 * 4096
    assert MemoryReads.of(GPU_SHAPES["llama-7b"]).step == 2 * large


def test_the_encoder_and_the_cross_attention_projections_are_read_once_per_batch() -> None:
    projection, norm = D * D + D, 2 * D
    feed_forward = D * FF + FF + FF * D + D
    encoder = LAYERS * (4 * projection + feed_forward + 2 * norm) + norm
    decoder = LAYERS * (6 * projection + feed_forward + 3 * norm) + norm
    assert MemoryReads.of(GPU_SHAPES["nllb-tiny"]) == MemoryReads(
        step=2 * (decoder + WORDS * D),
        batch=2 * (encoder + LAYERS * 2 * projection),
        past=2 * LAYERS * 2 * D,
        source=2 * LAYERS * 2 * D,
    )


@pytest.mark.parametrize(("source", "prompt"), [(0, 10), (100, 100)])
def test_a_row_is_read_until_its_own_end(source: int, prompt: int) -> None:
    reads = MemoryReads(step=1_000_000, batch=10_000_000, past=10, source=source)
    sizes = [Size(3, 2), Size(4, 3), Size(5, 1)]
    # At every step each row reads its prompt and the tokens it has written: 0, 1, 2, ...
    rows = prompt * (5 * 2 + 6 * 3 + 7 * 1) + 10 * (1 + 3 + 0)
    assert reads.total(sizes, [[0, 1], [2]], n_prefix=2) == 2 * 10_000_000 + (3 + 1) * 1_000_000 + rows
