"""Our C kernels compute what torch does, with the same bits in any batch; without a compiler torch takes over."""

import ctypes
import logging
import os
import subprocess
import tempfile
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
from worker.engine.transformer.attention import native_backend as attention
from worker.engine.transformer.attention.interface import AttentionCall
from worker.engine.transformer.kernel_check import check_kernels
from worker.engine.transformer.layers.linear import RowInt8Linear, fold_logits_bias
from worker.engine.transformer.layers.norm import fuse_norms
from worker.engine.transformer.layers.replacement import bypass_call_overhead
from worker.engine.transformer.native import library
from worker.engine.transformer.native.fused import LayerNorm, RmsNorm, SwigluFeedForward
from worker.engine.transformer.native.linear import InputActivation, NativeInt8Linear, NativeLinear
from worker.engine.transformer.native.tokens import argmax, rotated, store_kv
from worker.engine.transformer.weights.int8_rows import as_rows

needs_kernels = pytest.mark.skipif(not check_kernels(), reason="no C compiler, or a processor without AVX2")


def forget() -> None:
    """Drops the kernels and their verdict, so that the next check compiles or loads them again."""
    library.compiled_kernels.cache_clear()
    library.set_verdict(None)


@pytest.fixture(autouse=True)
def checked_again() -> Iterator[None]:
    """After a test that dropped the kernels, checks them again for the next one."""
    yield
    check_kernels()


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def linear(inputs: int, outputs: int) -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(inputs, outputs)


@pytest.fixture(autouse=True)
def threads() -> Iterator[Callable[[int], None]]:
    """Gives the function that sets torch's threads, and restores their number after each test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


BEFORE: dict[InputActivation, Callable[[torch.Tensor], torch.Tensor]] = {
    InputActivation.NOTHING: lambda x: x,
    InputActivation.RELU: functional.relu,
    InputActivation.SILU: functional.silu,
    InputActivation.SWIGLU: lambda x: functional.silu(x[..., :90]) * x[..., 90:],
}


@needs_kernels
@pytest.mark.parametrize("before", list(InputActivation), ids=lambda before: before.name)
@pytest.mark.parametrize("outputs", [1, 7, 16, 70])
@torch.inference_mode()
def test_int8_with_an_input_activation_is_within_a_fortieth(before: InputActivation, outputs: int) -> None:
    layer = linear(90, outputs)  # sizes that do not fill the kernel's vectors
    x = torch.randn(3, 5, 180 if before is InputActivation.SWIGLU else 90)
    assert error(NativeInt8Linear(layer, before)(x), layer(BEFORE[before](x))) < 0.025


@needs_kernels
@settings(max_examples=50, deadline=None)
@given(
    rows=st.integers(1, 70),
    place=st.integers(0, 69),
    loudness=st.sampled_from([0.0, 1e-6, 1.0, 1e4]),
    n_threads=st.integers(1, 2),
    is_transformed=st.booleans(),
)
@torch.inference_mode()
def test_a_row_has_the_same_bits_among_any_neighbours(
    rows: int, place: int, loudness: float, n_threads: int, is_transformed: bool
) -> None:
    torch.set_num_threads(n_threads)
    plain = linear(97, 50)
    layer = NativeInt8Linear(plain, InputActivation.SILU, as_rows(plain.weight, is_transformed))
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
    # An output may be small beside the summands that cancel in it, so the error is measured by their sum.
    summed = x.abs() @ layer.weight.abs().T + layer.bias.abs()
    assert ((found - layer(x)).abs() <= 1e-6 * summed).all()
    assert torch.equal(NativeLinear(layer)(x[rows // 2 :])[0], found[rows // 2])


#: Older processors, and the feature that this one must have to run the code compiled for them.
PROCESSORS = {"haswell": "avx2", "alderlake": "avx_vnni", "icelake-server": "avx512_vnni"}


@needs_kernels
@pytest.mark.parametrize(("processor", "feature"), PROCESSORS.items())
@torch.inference_mode()
def test_code_for_older_processors_gives_the_same_answers(
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
        assert check_kernels()
        their_exact, their_int8 = answers()
    finally:
        forget()
    assert all(map(torch.equal, their_exact, exact))
    if feature != "avx2" or not {"avx_vnni", "avx512_vnni"} & set(features):
        assert all(map(torch.equal, their_int8, int8))


def answers() -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """fp32 and int8 outputs for 1 to 70 rows, of layers whose sizes do not fill vectors and tiles."""
    layers = [linear(inputs, outputs) for inputs, outputs in ((1, 3), (97, 50), (300, 70))]
    torch.manual_seed(2)
    calls = [(layer, torch.randn(rows, layer.in_features)) for rows in range(1, 71) for layer in layers]
    exact = [NativeLinear(layer)(x) for layer, x in calls]
    int8 = [
        NativeInt8Linear(layer, before, as_rows(layer.weight, is_transformed))(x)
        for is_transformed in (False, True)
        for before in (InputActivation.NOTHING, InputActivation.RELU)
        for layer, x in calls
    ]
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
) -> tuple[attention.NativeRowLayout, torch.Tensor, torch.Tensor]:
    """Random keys and values of rows, each with three unused positions. These hold NaN, so that reading them shows."""
    capacities = [length + 3 for length in lengths]
    starts = [0, *accumulate(capacities)]
    keys, values = (torch.full((starts[-1] * heads, size), torch.nan, dtype=dtype) for _ in range(2))
    for start, capacity, length in zip(starts, capacities, lengths, strict=False):
        for head in range(heads):
            first = start * heads + head * capacity
            keys[first : first + length], values[first : first + length] = torch.randn(2, length, size)
    return attention.NativeRowLayout(starts[:-1], capacities, lengths), keys, values


def keys_of_row(store: torch.Tensor, lengths: list[int], row: int, heads: int) -> torch.Tensor:
    """The keys or values of one row, ``[heads, length, size]``."""
    capacities = [length + 3 for length in lengths]
    first = sum(capacities[:row]) * heads
    part = store[first : first + capacities[row] * heads].view(heads, capacities[row], -1)
    return part[:, : lengths[row]].float()


def softcapped(scores: torch.Tensor, softcap: float | None) -> torch.Tensor:
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
def test_in_a_decode_step_each_token_sees_its_row(
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
    call = AttentionCall(query, keys, values, 0.3, bias, window, softcap)
    found = attention.attend(rows, call, query, shared)
    for row, length in enumerate(lengths):
        key, value = (
            keys_of_row(store, lengths, row, shared).repeat_interleave(repeats, 0) for store in (keys, values)
        )
        scores = softcapped((key @ query[row][:, :, None])[..., 0] * 0.3, softcap) + bias[0, :, 0, :length]
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
    call = AttentionCall(query, keys, values, 0.3, None, window, softcap)
    found = attention.attend_prompts(rows, call, query, shared, known)
    parts = (packed.split_with_sizes(new) for packed in (query, found))
    for row, (packed, answers) in enumerate(zip(*parts, strict=True)):
        key, value = (
            keys_of_row(store, lengths, row, shared).repeat_interleave(repeats, 0) for store in (keys, values)
        )
        places = torch.arange(lengths[row])
        seen = places <= places[known:, None]
        if window is not None:
            seen &= places > places[known:, None] - window
        scores = softcapped(packed.transpose(0, 1) @ key.transpose(1, 2) * 0.3, softcap)
        expected = torch.softmax(scores.masked_fill(~seen, -torch.inf), -1) @ value
        assert torch.allclose(answers, expected.transpose(0, 1), rtol=1e-4, atol=1e-5)


@needs_kernels
@pytest.mark.parametrize(
    ("norm", "ours"), [(nn.RMSNorm(48, eps=1e-5), RmsNorm), (nn.LayerNorm(48), LayerNorm)], ids=["rms", "layer"]
)
@torch.inference_mode()
def test_only_real_norms_are_replaced(norm: nn.Module, ours: type[nn.Module]) -> None:
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
def test_argmax_is_the_first_of_equal_scores(rows: int, columns: int, few: bool, n_threads: int) -> None:
    torch.set_num_threads(n_threads)
    scores = torch.randint(-3, 3, (rows, columns)).float() if few else torch.randn(rows, 2 * columns)[:, columns:]
    assert argmax(scores) == [row.index(max(row)) for row in scores.tolist()]


@needs_kernels
@torch.inference_mode()
def test_argmax_of_scores_without_numbers_is_still_a_valid_index() -> None:
    for spoilt in (torch.nan, -torch.inf, torch.inf):
        assert all(0 <= place < 1500 for place in argmax(torch.full((2, 1500), spoilt)))


@needs_kernels
@pytest.mark.parametrize("precision", ["int8", "none"])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2"])
def test_models_use_our_rotary_embedding(kind: str, precision: str, load: Load) -> None:
    layers = load(kind, precision).model.model.layers
    turns = {type(layer.self_attn).forward.__globals__["apply_rotary_pos_emb"].__module__ for layer in layers}
    assert turns == {"worker.engine.transformer.native.rotary"}


@needs_kernels
@settings(max_examples=40, deadline=None)
@given(tokens=st.integers(1, 20), heads=st.integers(1, 4), size=st.sampled_from([16, 64, 80]))
@torch.inference_mode()
def test_our_rotary_embedding_is_transformers_own(tokens: int, heads: int, size: int) -> None:
    x = torch.randn(1, tokens, 2 * heads, size)[:, :, heads:].transpose(1, 2)
    angles = torch.randn(1, tokens, size // 2).repeat(1, 1, 2) * 100
    cos, sin = angles.cos(), angles.sin()
    expected, _ = apply_rotary_pos_emb(x, x, cos, sin)
    assert torch.allclose(rotated(x[0].transpose(0, 1), cos, sin), expected[0].transpose(0, 1), rtol=0, atol=1e-6)


@needs_kernels
@pytest.mark.parametrize(("precision", "dtype"), [("int8", torch.float16), ("none", torch.float32)])
@pytest.mark.parametrize("kind", ["llama", "marian", "t5"])
@torch.inference_mode()
def test_int8_models_have_an_fp16_kv_cache_and_fp32_models_do_not(
    kind: str, precision: str, dtype: torch.dtype, load: Load
) -> None:
    engine = load(kind, precision)
    stepper: Any = engine.stepper([[5, 6, 7], [5, 9, 8, 7, 6]])
    stepper.start()
    stepper.step(torch.tensor([9, 10]))
    caches = [stepper.cache] if kind == "llama" else [stepper._past, stepper._cross]
    assert {layer.keys.dtype for cache in caches for layer in cache.layers} == {dtype}


@needs_kernels
@torch.inference_mode()
def test_new_keys_and_values_go_to_their_places_and_stay_finite() -> None:
    keys, values = torch.randn(2, 3, 2, 16)
    keys[0, 0, :2] = torch.tensor([1e6, -1e6])
    places = torch.tensor([[8, 0, 4], [2, 1, 2]])
    for dtype in (torch.float32, torch.float16):
        all_keys, all_values = torch.zeros(2, 12, 16, dtype=dtype)
        store_kv(keys, values, all_keys, all_values, places)
        for kept, new in ((all_keys, keys), (all_values, values)):
            expected = torch.zeros(12, 16)
            for token, (place, apart) in enumerate(places.T.tolist()):
                expected[[place, place + apart]] = new[token]
            most = torch.finfo(dtype).max
            assert torch.equal(kept, expected.clamp(-most, most).to(dtype))


@torch.inference_mode()
def test_bypassing_call_overhead_changes_no_answer() -> None:
    model = tiny.GENERATIVE["llama"]().eval()
    kinds, ids = [type(module) for module in model.modules()], torch.tensor([[5, 6, 7]])
    expected = model(input_ids=ids).logits
    bypass_call_overhead(model)
    assert torch.equal(model(input_ids=ids).logits, expected)
    assert all(isinstance(module, kind) for module, kind in zip(model.modules(), kinds, strict=True))


@needs_kernels
@pytest.mark.parametrize("kind", ["llama", "qwen3", "mistral"])
def test_swiglu_feed_forward_layers_are_ours(kind: str, load: Load) -> None:
    model = load(kind, "int8").model
    assert sum(type(module) is SwigluFeedForward for module in model.modules()) == model.config.num_hidden_layers


@torch.inference_mode()
def test_the_logits_bias_moves_into_the_last_layer() -> None:
    model = tiny.GENERATIVE["marian"]().eval()
    model.final_logits_bias.normal_()
    ids = {"input_ids": torch.tensor([[5, 6, 7]]), "decoder_input_ids": torch.tensor([[1, 9]])}
    expected = model(**ids).logits
    fold_logits_bias(model)
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


#: For each kernel, the index of its output among its arguments.
OUTPUTS = {"linear": 2, "exact": 2, "attend": 4, "attend_prompts": 4, "rms_norm": 2, "layer_norm": 3}
OUTPUTS |= {"greatest": 3, "store": 6, "rotate": 5}


class BrokenKernels:
    """Kernels of which one writes a wrong first number into its output."""

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
    broken = BrokenKernels(library.kernels(), name)
    monkeypatch.setattr(library, "_is_approved", None)
    monkeypatch.setattr(library, "compiled_kernels", lambda: broken)
    assert not check_kernels()
    assert library.usable_kernels() is None
    assert "the kernels compute wrongly here" in caplog.text


@needs_kernels
def test_kernels_are_compiled_once_and_cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made_at = []
    for _ in range(2):
        forget()
        assert check_kernels()
        assert library.usable_kernels() is not None
        (kept,) = (tmp_path / "lengthwise").iterdir()
        made_at.append(kept.stat().st_mtime_ns)
    assert made_at[0] == made_at[1]


@needs_kernels
def test_kernels_are_compiled_even_if_they_cannot_be_cached(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    forget()
    assert check_kernels()
    assert library.usable_kernels() is not None


@pytest.fixture
def planted(tmp_path: Path) -> bytes:
    """A library that prints when it is loaded, and has no kernels."""
    source, made = tmp_path / "planted.c", tmp_path / "planted.so"
    source.write_text(
        '#include <stdio.h>\n__attribute__((constructor)) void run(void) { puts("PLANTED"); fflush(0); }\n'
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(made), str(source)], check=True)
    return made.read_bytes()


@needs_kernels
@pytest.mark.parametrize("hole", ["the file", "the folder", "the folder above", "another user's"])
def test_a_library_that_others_may_have_planted_is_not_loaded(
    hole: str, planted: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if hole == "another user's" and os.geteuid() != 0:
        pytest.skip("only root can give files away")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    forget()
    assert library.compiled_kernels() is not None
    (kept,) = (tmp_path / "cache" / "lengthwise").iterdir()
    kept.write_bytes(planted)
    if hole == "another user's":
        os.chown(kept, 12345, 12345)
    else:
        place = {"the file": kept, "the folder": kept.parent, "the folder above": kept.parent.parent}[hole]
        place.chmod(0o777)
    forget()
    assert check_kernels()
    assert "PLANTED" not in capfd.readouterr().out


@needs_kernels
def test_without_a_home_that_can_be_written_the_cache_is_a_private_folder_of_temporary_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    forget()
    assert library.compiled_kernels() is not None
    folder = tmp_path / f"lengthwise-{os.geteuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700
    (kept,) = folder.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600


@needs_kernels
def test_a_library_that_is_loaded_later_is_not_taken_for_an_earlier_one(planted: bytes) -> None:
    library.compiled_kernels()
    for _ in range(2):
        assert not hasattr(library._library(planted), "lengthwise_linear"), "it has no kernels"


@needs_kernels
def test_the_compiler_gets_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen, compiler = tmp_path / "seen", tmp_path / "cc"
    compiler.write_text(f'#!/bin/sh\nenv >> {seen}\nexec cc "$@"\n')
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in ("LENGTHWISE_MASTER_KEY", "LENGTHWISE_DATABASE_URL", "HF_TOKEN", "PGPASSWORD"):
        monkeypatch.setenv(name, "ZZSECRET")
    forget()
    assert library.compiled_kernels() is not None
    assert "ZZSECRET" not in seen.read_text()
