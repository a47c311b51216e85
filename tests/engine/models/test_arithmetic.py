"""The layers and shapes that make answers exact, or give them the same bits in any batch."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.engine import tiny
from tests.engine.conftest import Load, Written
from worker.engine.transformer.attention.kv_past import RowGroup, equal_runs, rounded_to_blocks
from worker.engine.transformer.attention.prefix_cache import PrefixCache
from worker.engine.transformer.decode.decoder_only import DecoderOnlyStepper
from worker.engine.transformer.decode.encoder_decoder import EncoderDecoderStepper
from worker.engine.transformer.decode.vocabulary import Vocabulary
from worker.engine.transformer.engine import TorchEngine
from worker.engine.transformer.layers.fused_projections import FusedProjections, fuse_projections
from worker.engine.transformer.layers.linear import PackedLinear, RowInt8Linear, RowwiseLinear


def linear(inputs: int = 96, outputs: int = 160, bias: bool = True) -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(inputs, outputs, bias=bias)


@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_prepacked_fp32_is_exact(bias: bool) -> None:
    layer, x = linear(bias=bias), torch.randn(5, 7, 96)
    assert error(PackedLinear(layer)(x), layer(x)) < 1e-6


@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_int8_is_within_a_hundredth_or_so(bias: bool) -> None:
    layer, x = linear(bias=bias), torch.randn(5, 7, 96)
    # Without AVX-512's int8 instructions torch uses seven bits for activations, so that sums of pairs cannot overflow.
    has_eight_bits = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    assert error(RowInt8Linear(layer)(x), layer(x)) < (0.012 if has_eight_bits else 0.016)


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(1, 70), place=st.integers(0, 69), loudness=st.sampled_from([0.0, 1e-6, 1.0, 1e4]))
@torch.inference_mode()
def test_a_row_in_int8_has_the_same_bits_among_any_neighbours(rows: int, place: int, loudness: float) -> None:
    layer, row = RowInt8Linear(linear()), torch.randn(96, generator=torch.Generator().manual_seed(place))
    batch = torch.randn(rows, 96) * loudness
    batch[place % rows] = row
    assert torch.equal(layer(batch)[place % rows], layer(row[None])[0])


@torch.inference_mode()
def test_a_row_of_zeros_gives_the_bias() -> None:
    layer = linear()
    assert torch.equal(RowInt8Linear(layer)(torch.zeros(1, 96))[0], layer.bias)


@torch.inference_mode()
def test_a_narrow_int8_layer_works() -> None:
    layer, x = linear(1, 3), torch.randn(4, 1)
    assert error(RowInt8Linear(layer)(x), layer(x)) < 0.02


@torch.inference_mode()
def test_a_rowwise_linear_has_the_same_bits_alone() -> None:
    layer, x = linear(96, 5), torch.randn(33, 96)
    head = RowwiseLinear(layer)
    assert error(head(x), layer(x)) < 1e-6
    assert torch.equal(head(x)[7], head(x[7:8])[0])


@torch.inference_mode()
def test_fused_projections_give_each_layers_own_output_in_any_order_of_calls() -> None:
    parts = [linear(outputs=32), linear(outputs=64, bias=False), linear(outputs=96)]
    joined, x, other = FusedProjections(parts), torch.randn(5, 96), torch.randn(5, 96)
    for read in (x, other, x):
        for number in (2, 0, 1):
            assert error(joined.part(read, number), parts[number](read)) < 1e-6
    assert error(joined.part(x, 1), parts[1](x)) < 1e-6
    assert error(joined.part(other, 1), parts[1](other)) < 1e-6, "what was kept was of another input"


def test_layers_that_read_the_same_input_are_fused() -> None:
    def attention() -> nn.Module:
        return nn.ModuleDict({"q_proj": linear(), "k_proj": linear(), "v_proj": linear(), "out_proj": linear(160)})

    model = nn.ModuleDict({"self_attn": attention(), "encoder_attn": attention()})
    fuse_projections(model)
    kept = [name for name, module in model.named_modules() if type(module) is nn.Linear]
    assert kept == [
        "self_attn.out_proj",
        "self_attn.fused_q_proj.linear",
        "encoder_attn.q_proj",
        "encoder_attn.out_proj",
        "encoder_attn.fused_k_proj.linear",
    ]


@pytest.mark.parametrize("kind", sorted(tiny.GENERATIVE))
@torch.inference_mode()
def test_exact_scores_are_within_a_hundred_thousandth_of_transformers(kind: str, written: Written, load: Load) -> None:
    model, _ = written(kind)
    engine = load(kind, "none")
    start = {} if kind in tiny.DECODERS else {"decoder_input_ids": torch.tensor([[engine.vocabulary.start]])}
    expected = torch.cat([model(torch.tensor([tokens]), **start).logits[:, -1] for tokens in by_length()])
    assert error(first_scores(kind, engine), expected) < 1e-5


def by_length() -> list[Sequence[int]]:
    return sorted((request.tokens for request in tiny.requests()), key=len)


def first_scores(kind: str, engine: TorchEngine) -> torch.Tensor:
    """The scores of each row's first token in one batch, ``[rows, vocabulary]``; rows are sorted by length."""
    if kind in tiny.DECODERS:
        return DecoderOnlyStepper(engine.model, by_length(), PrefixCache()).start()
    return EncoderDecoderStepper(engine.model, by_length(), engine.vocabulary).start()


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def test_equal_neighbours_form_a_group() -> None:
    assert equal_runs([3, 3, 7, 9, 9, 9]) == [RowGroup(0, 2, 3), RowGroup(2, 3, 7), RowGroup(3, 6, 9)]
    assert equal_runs([]) == []


@pytest.mark.parametrize(("length", "rounded"), [(1, 32), (32, 32), (33, 64), (256, 256), (257, 320), (1025, 1280)])
def test_lengths_are_rounded_up_to_blocks(length: int, rounded: int) -> None:
    assert rounded_to_blocks(length) == rounded


@given(length=st.integers(1, 100_000))
def test_blocks_are_few_and_little_is_padding(length: int) -> None:
    rounded = rounded_to_blocks(length)
    assert rounded == rounded_to_blocks(rounded)
    assert length <= rounded < max(length + 32, 1.25 * length)
    assert rounded_to_blocks(length + 1) >= rounded
    assert len({rounded_to_blocks(longer) for longer in range(length, 2 * length, max(1, length // 64))}) <= max(
        5, length // 32
    )


def test_the_ids_of_generation_come_before_those_of_the_model(tmp_path: Path) -> None:
    config = {"eos_token_id": 3, "pad_token_id": 5, "decoder_start_token_id": 7}
    folder = tmp_path
    assert Vocabulary.read(folder, config) == Vocabulary(7, 5, frozenset({3}), ())
    (folder / "generation_config.json").write_text(
        '{"eos_token_id": [3, 4], "bad_words_ids": [[5], [8, 9], [-1]], "suppress_tokens": [1, -1]}'
    )
    assert Vocabulary.read(folder, config) == Vocabulary(7, 5, frozenset({3, 4}), (1, 5))


def test_an_end_token_is_barred_only_by_the_setting_with_which_transformers_bars_it(tmp_path: Path) -> None:
    config = {"eos_token_id": 3, "pad_token_id": 5, "decoder_start_token_id": 7}
    assert Vocabulary.read(tmp_path, config | {"bad_words_ids": [[3], [4]]}).suppressed == (4,)
    assert Vocabulary.read(tmp_path, config | {"suppress_tokens": [3, 4]}).suppressed == (3, 4)
