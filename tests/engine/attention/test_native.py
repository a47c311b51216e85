"""Our own kernels: what torch computes, the same bits in any company, and a way on without a compiler."""

import ctypes
import logging
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from tests.engine import tiny
from tests.engine.conftest import Load, Written
from tests.engine.decode.test_generation import run
from worker.engine.transformer.attention import native as attention
from worker.engine.transformer.attention.interface import Call
from worker.engine.transformer.layers.head import fold_bias
from worker.engine.transformer.layers.linear import RowInt8Linear
from worker.engine.transformer.layers.norm import fuse_norms
from worker.engine.transformer.layers.shortcuts import shorten
from worker.engine.transformer.native import library
from worker.engine.transformer.native.exact import NativeLinear
from worker.engine.transformer.native.fused import GatedMlp, LayerNorm, RmsNorm
from worker.engine.transformer.native.linear import Before, NativeInt8Linear
from worker.engine.transformer.native.tokens import greatest, rotated, store

needs_kernels = pytest.mark.skipif(library.library() is None, reason="no C compiler, or a processor without AVX2")


def forget() -> None:
    """The next who asks finds the kernels anew."""
    library.compiled.cache_clear()
    library.library.cache_clear()


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def linear(inputs: int, outputs: int) -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(inputs, outputs)


@pytest.fixture(autouse=True)
def threads() -> Iterator[Callable[[int], None]]:
    """Sets torch's threads; whoever did, they are after the test as they were."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


BEFORE: dict[Before, Callable[[torch.Tensor], torch.Tensor]] = {
    Before.NOTHING: lambda x: x,
    Before.RELU: functional.relu,
    Before.SILU: functional.silu,
    Before.GATED_SILU: lambda x: functional.silu(x[..., :90]) * x[..., 90:],
}


@needs_kernels
@pytest.mark.parametrize("before", list(Before), ids=lambda before: before.name)
@pytest.mark.parametrize("outputs", [1, 7, 16, 70])
@torch.inference_mode()
def test_int8_with_what_comes_before_is_within_a_fortieth(before: Before, outputs: int) -> None:
    layer = linear(90, outputs)  # neither inputs nor outputs fill the kernel's vectors
    x = torch.randn(3, 5, 180 if before is Before.GATED_SILU else 90)
    assert error(NativeInt8Linear(layer, before)(x), layer(BEFORE[before](x))) < 0.025


@needs_kernels
@settings(max_examples=50, deadline=None)
@given(
    rows=st.integers(1, 70),
    place=st.integers(0, 69),
    loudness=st.sampled_from([0.0, 1e-6, 1.0, 1e4]),
    n_threads=st.integers(1, 2),
)
@torch.inference_mode()
def test_a_row_has_the_same_bits_among_any_neighbours(rows: int, place: int, loudness: float, n_threads: int) -> None:
    torch.set_num_threads(n_threads)
    layer = NativeInt8Linear(linear(97, 50), Before.SILU)
    row = torch.randn(97, generator=torch.Generator().manual_seed(place))
    batch = torch.randn(rows, 97) * loudness
    batch[place % rows] = row
    assert torch.equal(layer(batch)[place % rows], layer(row[None])[0])


@needs_kernels
@settings(max_examples=50, deadline=None)
@given(rows=st.integers(1, 110), inputs=st.integers(1, 600), outputs=st.integers(1, 70), n_threads=st.integers(1, 2))
@torch.inference_mode()
def test_fp32_is_exact_and_a_row_has_the_same_bits_among_any_neighbours(
    rows: int, inputs: int, outputs: int, n_threads: int
) -> None:
    torch.set_num_threads(n_threads)
    layer = linear(inputs, outputs)
    x = torch.randn(rows, inputs)
    found = NativeLinear(layer)(x)
    # Few outputs may be small beside what they are the sum of.
    summed = x.abs() @ layer.weight.abs().T + layer.bias.abs()
    assert ((found - layer(x)).abs() <= 1e-6 * summed).all()
    assert torch.equal(NativeLinear(layer)(x[rows // 2 :])[0], found[rows // 2])


#: Lesser processors, and what this one must have to run the branches that are theirs.
PROCESSORS = {"haswell": "avx2", "alderlake": "avx_vnni", "icelake-server": "avx512_vnni"}


@needs_kernels
@pytest.mark.parametrize(("processor", "feature"), PROCESSORS.items())
@torch.inference_mode()
def test_the_branches_of_lesser_processors_are_right_and_all_of_eight_bits_alike(
    processor: str, feature: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    features = library._processor().split()
    if feature not in features:
        pytest.skip(f"this processor has no {feature}")
    exact, int8 = answers()
    monkeypatch.setattr(library, "_FLAGS", (*library._FLAGS, f"-march={processor}"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    forget()
    try:
        assert library.library() is not None
        their_exact, their_int8 = answers()
    finally:
        forget()
    assert all(map(torch.equal, their_exact, exact))
    if feature != "avx2" or not {"avx_vnni", "avx512_vnni"} & set(features):
        assert all(map(torch.equal, their_int8, int8))


def answers() -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """fp32's and int8's of layers whose inputs and outputs fill no vector or tile, for up to 70 rows."""
    layers = [linear(inputs, outputs) for inputs, outputs in ((1, 3), (97, 50), (300, 70))]
    torch.manual_seed(2)
    calls = [(layer, torch.randn(rows, layer.in_features)) for rows in range(1, 71) for layer in layers]
    exact = [NativeLinear(layer)(x) for layer, x in calls]
    int8 = [NativeInt8Linear(layer, before)(x) for before in (Before.NOTHING, Before.RELU) for layer, x in calls]
    return exact, int8


@needs_kernels
@torch.inference_mode()
def test_a_row_of_zeros_gives_the_bias_and_one_of_a_sign_keeps_it() -> None:
    layer = linear(96, 40)
    assert torch.equal(NativeInt8Linear(layer)(torch.zeros(1, 96))[0], layer.bias)
    for sign in (-1, 1):
        x = sign * torch.rand(4, 96)
        assert error(NativeInt8Linear(layer)(x), layer(x)) < 0.02


def memory(
    lengths: list[int], heads: int, size: int, dtype: torch.dtype
) -> tuple[attention.Rows, torch.Tensor, torch.Tensor]:
    """Rows with room of their own; what lies behind each row's end must not be read, and is no number."""
    capacities = [length + 3 for length in lengths]
    starts = [0, *accumulate(capacities)]
    keys, values = (torch.full((starts[-1] * heads, size), torch.nan, dtype=dtype) for _ in range(2))
    for start, capacity, length in zip(starts, capacities, lengths, strict=False):
        for head in range(heads):
            first = start * heads + head * capacity
            keys[first : first + length], values[first : first + length] = torch.randn(2, length, size)
    return attention.Rows(starts[:-1], capacities, lengths), keys, values


def own(store: torch.Tensor, lengths: list[int], row: int, heads: int) -> torch.Tensor:
    """``[heads, length, size]`` of one row."""
    capacities = [length + 3 for length in lengths]
    first = sum(capacities[:row]) * heads
    part = store[first : first + capacities[row] * heads].view(heads, capacities[row], -1)
    return part[:, : lengths[row]].float()


def squeezed(scores: torch.Tensor, softcap: float | None) -> torch.Tensor:
    return scores if softcap is None else torch.tanh(scores / softcap) * softcap


ATTENTION = {
    "lengths": st.lists(st.integers(2, 90), min_size=1, max_size=5),
    "shared": st.integers(1, 3),
    "repeats": st.integers(1, 4),
    "size": st.sampled_from([16, 48, 64, 80]),
    "window": st.none() | st.integers(1, 40),
    "softcap": st.none() | st.floats(0.5, 50),
    "n_threads": st.integers(1, 2),
    "dtype": st.sampled_from([torch.float32, torch.float16]),
}


@needs_kernels
@settings(max_examples=60, deadline=None)
@given(**ATTENTION)
@torch.inference_mode()
def test_one_token_a_row_sees_its_row(
    lengths: list[int],
    shared: int,
    repeats: int,
    size: int,
    window: int | None,
    softcap: float | None,
    n_threads: int,
    dtype: torch.dtype,
) -> None:
    torch.set_num_threads(n_threads)
    rows, keys, values = memory(lengths, shared, size, dtype)
    heads = shared * repeats
    query, bias = torch.randn(len(lengths), heads, size), torch.randn(1, heads, 1, max(lengths))
    call = Call(query, keys, values, 0.3, bias, window, softcap)
    found = attention.attend(rows, call, query, shared)
    for row, length in enumerate(lengths):
        key, value = (own(store, lengths, row, shared).repeat_interleave(repeats, 0) for store in (keys, values))
        scores = squeezed((key @ query[row][:, :, None])[..., 0] * 0.3, softcap) + bias[0, :, 0, :length]
        scores[:, : max(0, length - (window or length))] = -torch.inf
        expected = torch.softmax(scores, -1)[:, None] @ value
        assert torch.allclose(found[row], expected[:, 0], rtol=1e-4, atol=1e-5)


@needs_kernels
@settings(max_examples=60, deadline=None)
@given(**ATTENTION, known=st.integers(0, 1))
@torch.inference_mode()
def test_each_token_of_a_prompt_sees_its_row_up_to_itself(
    lengths: list[int],
    shared: int,
    repeats: int,
    size: int,
    window: int | None,
    softcap: float | None,
    n_threads: int,
    dtype: torch.dtype,
    known: int,
) -> None:
    torch.set_num_threads(n_threads)
    rows, keys, values = memory(lengths, shared, size, dtype)
    heads, new = shared * repeats, [length - known for length in lengths]
    query = torch.randn(sum(new), heads, size)
    call = Call(query, keys, values, 0.3, None, window, softcap)
    found = attention.attend_prompts(rows, call, query, shared, known)
    parts = (packed.split_with_sizes(new) for packed in (query, found))
    for row, (packed, answers) in enumerate(zip(*parts, strict=True)):
        key, value = (own(store, lengths, row, shared).repeat_interleave(repeats, 0) for store in (keys, values))
        places = torch.arange(lengths[row])
        seen = places <= places[known:, None]
        if window is not None:
            seen &= places > places[known:, None] - window
        scores = squeezed(packed.transpose(0, 1) @ key.transpose(1, 2) * 0.3, softcap)
        expected = torch.softmax(scores.masked_fill(~seen, -torch.inf), -1) @ value
        assert torch.allclose(answers, expected.transpose(0, 1), rtol=1e-4, atol=1e-5)


@needs_kernels
@pytest.mark.parametrize(
    ("norm", "ours"), [(nn.RMSNorm(48, eps=1e-5), RmsNorm), (nn.LayerNorm(48), LayerNorm)], ids=["rms", "layer"]
)
@torch.inference_mode()
def test_a_norm_is_replaced_where_it_is_one(norm: nn.Module, ours: type[nn.Module]) -> None:
    for parameter in norm.parameters():
        parameter.data.normal_()
    model, x = nn.ModuleDict({"norm": norm, "other": nn.GroupNorm(4, 48)}), torch.randn(7, 48) * 3 + 100
    fuse_norms(model, RmsNorm, LayerNorm)
    assert type(model["norm"]) is ours
    assert type(model["other"]) is nn.GroupNorm
    assert error(model["norm"](x), norm(x)) < 1e-5
    assert torch.equal(model["norm"](x)[3], model["norm"](x[3:4])[0])


@needs_kernels
@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 5), columns=st.integers(1, 5000), few=st.booleans(), n_threads=st.integers(1, 2))
@torch.inference_mode()
def test_the_greatest_score_is_the_first_of_equals(rows: int, columns: int, few: bool, n_threads: int) -> None:
    torch.set_num_threads(n_threads)
    scores = torch.randint(-3, 3, (rows, columns)).float() if few else torch.randn(rows, 2 * columns)[:, columns:]
    assert greatest(scores) == [row.index(max(row)) for row in scores.tolist()]


@needs_kernels
@torch.inference_mode()
def test_scores_that_are_no_numbers_give_some_place_all_the_same() -> None:
    for spoilt in (torch.nan, -torch.inf, torch.inf):
        assert all(0 <= place < 1500 for place in greatest(torch.full((2, 1500), spoilt)))


@needs_kernels
@pytest.mark.parametrize("precision", ["int8", "none"])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2"])
def test_heads_are_turned_by_ours(kind: str, precision: str, load: Load) -> None:
    layers = load(kind, precision).model.model.layers
    turns = {type(layer.self_attn).forward.__globals__["apply_rotary_pos_emb"].__module__ for layer in layers}
    assert turns == {"worker.engine.transformer.native.rotary"}


@needs_kernels
@settings(max_examples=40, deadline=None)
@given(tokens=st.integers(1, 20), heads=st.integers(1, 4), size=st.sampled_from([16, 64, 80]))
@torch.inference_mode()
def test_a_turn_is_transformers_own(tokens: int, heads: int, size: int) -> None:
    x = torch.randn(1, tokens, 2 * heads, size)[:, :, heads:].transpose(1, 2)
    angles = torch.randn(1, tokens, size // 2).repeat(1, 1, 2) * 100
    cos, sin = angles.cos(), angles.sin()
    expected, _ = apply_rotary_pos_emb(x, x, cos, sin)
    assert torch.allclose(rotated(x[0].transpose(0, 1), cos, sin), expected[0].transpose(0, 1), rtol=0, atol=1e-6)


@needs_kernels
@pytest.mark.parametrize(("precision", "dtype"), [("int8", torch.float16), ("none", torch.float32)])
@pytest.mark.parametrize("kind", ["llama", "marian", "t5"])
@torch.inference_mode()
def test_int8_models_keep_keys_and_values_as_halves_and_exact_ones_do_not(
    kind: str, precision: str, dtype: torch.dtype, load: Load
) -> None:
    engine = load(kind, precision)
    stepper: Any = engine.stepper([[5, 6, 7], [5, 9, 8, 7, 6]])
    stepper.start()
    stepper.step(torch.tensor([9, 10]))
    caches = [stepper.cache] if kind == "llama" else [stepper._past, stepper._looked_at]
    assert {layer.keys.dtype for cache in caches for layer in cache.layers} == {dtype}


@needs_kernels
@torch.inference_mode()
def test_new_keys_and_values_go_to_their_places_and_none_is_infinite() -> None:
    keys, values = torch.randn(2, 3, 2, 16)
    keys[0, 0, :2] = torch.tensor([1e6, -1e6])
    places = torch.tensor([[8, 0, 4], [2, 1, 2]])
    for dtype in (torch.float32, torch.float16):
        all_keys, all_values = torch.zeros(2, 12, 16, dtype=dtype)
        store(keys, values, all_keys, all_values, places)
        for kept, new in ((all_keys, keys), (all_values, values)):
            expected = torch.zeros(12, 16)
            for token, (place, apart) in enumerate(places.T.tolist()):
                expected[[place, place + apart]] = new[token]
            most = torch.finfo(dtype).max
            assert torch.equal(kept, expected.clamp(-most, most).to(dtype))


@torch.inference_mode()
def test_shorter_ways_lead_to_the_same_answer() -> None:
    model = tiny.GENERATIVE["llama"]().eval()
    kinds, ids = [type(module) for module in model.modules()], torch.tensor([[5, 6, 7]])
    expected = model(input_ids=ids).logits
    shorten(model)
    assert torch.equal(model(input_ids=ids).logits, expected)
    assert all(isinstance(module, kind) for module, kind in zip(model.modules(), kinds, strict=True))


@needs_kernels
@pytest.mark.parametrize("kind", ["llama", "qwen3", "mistral"])
def test_the_feed_forward_layers_of_a_gated_model_are_ours(kind: str, load: Load) -> None:
    model = load(kind, "int8").model
    assert sum(type(module) is GatedMlp for module in model.modules()) == model.config.num_hidden_layers


@torch.inference_mode()
def test_the_final_bias_is_added_by_the_head_alone() -> None:
    model = tiny.GENERATIVE["marian"]().eval()
    model.final_logits_bias.normal_()
    ids = {"input_ids": torch.tensor([[5, 6, 7]]), "decoder_input_ids": torch.tensor([[1, 9]])}
    expected = model(**ids).logits
    fold_bias(model)
    assert model.lm_head.bias is not None
    assert error(model(**ids).logits, expected) < 1e-6


@pytest.mark.parametrize("trouble", ["no compiler", "a compiler that fails"])
def test_without_kernels_a_model_answers_on_torch_and_the_log_says_why(
    trouble: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    written: Written,
) -> None:
    _, folder = written("llama")
    compiler = tmp_path / "cc"
    if trouble == "a compiler that fails":
        compiler.write_text("#!/bin/sh\necho 'error: no such thing' >&2\ntest \"$1\" = --version\n")
        compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    forget()
    try:
        with caplog.at_level(logging.WARNING):
            engine = tiny.load(folder, "int8")
        assert "slower" in caplog.text
        assert any(type(module) is RowInt8Linear for module in engine.model.modules())
        assert len(run(engine, tiny.requests())) == len(tiny.requests())
    finally:
        forget()
    assert not list(tmp_path.glob("lengthwise/*")), "nothing half-made stays"


#: Of each kernel, the place of its output among its arguments.
OUTPUTS = {"linear": 2, "exact": 2, "attend": 4, "attend_prompts": 4, "rms_norm": 2, "layer_norm": 3}
OUTPUTS |= {"greatest": 3, "store": 6, "rotate": 5}


class FaultyKernels:
    """The kernels, one of which spoils the first number of its output."""

    def __init__(self, kernels: ctypes.CDLL, name: str) -> None:
        self._kernels, self._name = kernels, name

    def __getattr__(self, name: str) -> Any:
        kernel = getattr(self._kernels, name)
        if name != f"lengthwise_{self._name}":
            return kernel

        def spoilt(*arguments: Any) -> None:
            kernel(*arguments)
            ctypes.memset(arguments[OUTPUTS[self._name]], 0x7F, 4)

        return spoilt


@needs_kernels
@pytest.mark.parametrize("name", list(OUTPUTS))
def test_kernels_that_compute_wrongly_are_not_used(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = FaultyKernels(library.kernels(), name)
    library.library.cache_clear()
    monkeypatch.setattr(library, "compiled", lambda: broken)
    try:
        assert library.library() is None
    finally:
        library.library.cache_clear()
    assert "the kernels compute wrongly here" in caplog.text


@needs_kernels
def test_kernels_are_compiled_once_and_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made_at = []
    for _ in range(2):
        forget()
        assert library.library() is not None
        (kept,) = (tmp_path / "lengthwise").iterdir()
        made_at.append(kept.stat().st_mtime_ns)
    assert made_at[0] == made_at[1]


@needs_kernels
def test_where_nothing_may_be_kept_they_are_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    forget()
    assert library.library() is not None
