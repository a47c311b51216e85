"""The Hadamard transform of linear layers' inputs and weights: orthogonal, the same bits everywhere, and more exact."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from tests.engine import tiny
from tests.engine.attention.test_native import PROCESSORS, error, forget, needs_kernels
from tests.engine.conftest import Load, Written
from worker.engine.transformer.kernel_check import check_kernels
from worker.engine.transformer.layers.linear import RowInt8Linear
from worker.engine.transformer.native import library
from worker.engine.transformer.native.linear import InputActivation, NativeInt8Linear
from worker.engine.transformer.shrink import prepare
from worker.engine.transformer.weights import loading
from worker.engine.transformer.weights.checkpoint import load_state, save_int8
from worker.engine.transformer.weights.hadamard import GROUP, transformed
from worker.engine.transformer.weights.int8_rows import are_plain_rows, as_rows, quantized

#: Makes an int8 layer of a plain one and its weights in a given form.
Make = Callable[..., nn.Module]
on_both = pytest.mark.parametrize("make", [pytest.param(NativeInt8Linear, marks=needs_kernels), RowInt8Linear])
#: Whole groups, and one that is not filled.
WIDTHS = (64, 192, 1, 63, 97, 600)


def layer_of(weight: torch.Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight.data = weight
    return layer


def gaussian(*shape: int, seed: int = 0) -> torch.Tensor:
    """Weights and inputs without outliers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def with_outliers(rows: int, width: int) -> torch.Tensor:
    """Inputs of which every 97th column is thirty times as large, as in language models."""
    x = gaussian(rows, width, seed=1)
    x[:, 5::97] *= 30
    return x


@given(rows=st.integers(0, 9), width=st.integers(1, 300), seed=st.integers(0, 99))
def test_the_transform_is_that_of_the_matrix_and_its_own_inverse(rows: int, width: int, seed: int) -> None:
    places = range(GROUP)
    matrix = torch.tensor([[(-1.0) ** (row & column).bit_count() / 8 for column in places] for row in places])
    x = gaussian(rows, width, seed=seed)
    before = x.clone()
    padded = functional.pad(x, (0, -width % GROUP))
    found = transformed(x)
    assert torch.allclose(found, (padded.reshape(-1, GROUP) @ matrix).view(padded.shape), atol=1e-5)
    assert torch.allclose(transformed(found), padded, atol=1e-5)
    assert torch.equal(x, before)


@given(width=st.integers(1, 300), outputs=st.integers(1, 20))
def test_transformed_inputs_and_weights_give_the_same_outputs(width: int, outputs: int) -> None:
    x, weight = gaussian(5, width), gaussian(outputs, width, seed=1)
    largest = x.norm(dim=1)[:, None] * weight.norm(dim=1)
    assert ((transformed(x) @ transformed(weight).T - x @ weight.T).abs() <= 1e-6 * largest).all()


@needs_kernels
@pytest.mark.parametrize("processor", ["native", *PROCESSORS])
@torch.inference_mode()
def test_the_kernel_transforms_inputs_bit_for_bit_as_torch_does(
    processor: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if processor != "native":
        if PROCESSORS[processor] not in library._processor().split():
            pytest.skip(f"this processor has no {PROCESSORS[processor]}")
        monkeypatch.setattr(library, "_FLAGS", (*library._FLAGS, f"-march={processor}"))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        forget()
    try:
        assert check_kernels()
        for before in (InputActivation.NOTHING, InputActivation.RELU):
            for width in WIDTHS:
                layer, x = layer_of(gaussian(40, width)), with_outliers(19, width)
                rows = as_rows(layer.weight, is_transformed=True)
                activated = x if before is InputActivation.NOTHING else x.relu()
                # A plain layer with the transformed weights, whose inputs torch has transformed.
                other = layer_of(transformed(layer.weight))
                expected = NativeInt8Linear(other, weights=rows._replace(is_transformed=False))(transformed(activated))
                assert torch.equal(NativeInt8Linear(layer, before, rows)(x), expected)
    finally:
        if processor != "native":
            forget()
            check_kernels()


@on_both
@pytest.mark.parametrize("width", WIDTHS)
@torch.inference_mode()
def test_outliers_among_the_inputs_cost_less_than_half_as_much(make: Make, width: int) -> None:
    layer, x = layer_of(gaussian(48, width)), with_outliers(40, width)
    plain, mixed = (error(make(layer, weights=as_rows(layer.weight, form))(x), layer(x)) for form in (False, True))
    assert mixed < 0.02
    assert width < 2 * GROUP or mixed < plain / 2


@on_both
@torch.inference_mode()
def test_a_row_is_transformed_with_the_same_bits_among_any_neighbours(make: Make) -> None:
    layer, x = layer_of(gaussian(40, 97)), with_outliers(33, 97)
    mixed = make(layer, weights=as_rows(layer.weight, is_transformed=True))
    found = mixed(x)
    assert all(torch.equal(found[row], mixed(x[row : row + 1])[0]) for row in range(len(x)))


def test_weights_are_transformed_unless_they_are_plain_rows_to_the_last_bit() -> None:
    spread, outlying = gaussian(300, 192), gaussian(300, 192)
    outlying[:, 7] *= 20
    rows = as_rows(spread, is_transformed=False)
    of_others = rows.values * (spread.abs().amax(dim=1, keepdim=True) / 127)
    assert not any(map(are_plain_rows, (spread, outlying, of_others, as_rows(spread, True).expanded()[:, :192])))
    assert are_plain_rows(rows.expanded())


@on_both
@torch.inference_mode()
def test_int8_rows_of_another_program_are_transformed_and_lose_less(make: Make) -> None:
    rows, x = gaussian(40, 192), with_outliers(30, 192)
    layer = layer_of((rows / (step := rows.abs().amax(dim=1, keepdim=True) / 127)).round() * step)
    found, plain = make(layer), make(layer, weights=as_rows(layer.weight, is_transformed=False))
    assert (found(x) - layer(x)).norm() < 0.5 * (plain(x) - layer(x)).norm()


@pytest.mark.parametrize("is_transformed", [False, True])
@given(outputs=st.integers(1, 20), groups=st.integers(1, 5), loudness=st.sampled_from([0.0, 1e-4, 1.0, 1e3]))
def test_int8_rows_are_quantized_to_the_same_integers_again(
    is_transformed: bool, outputs: int, groups: int, loudness: float
) -> None:
    once = as_rows(gaussian(outputs, groups * GROUP) * loudness, is_transformed)
    again = quantized(once.expanded())
    assert loudness == 0 or again.is_transformed == is_transformed
    assert torch.equal(again.values, once.values)
    assert torch.equal(again.scale, once.scale)


@on_both
@torch.inference_mode()
def test_a_layer_of_a_file_with_plain_int8_rows_stays_as_it_was(make: Make) -> None:
    rows = as_rows(gaussian(50, 192), is_transformed=False)
    layer, x = layer_of(rows.expanded()), with_outliers(9, 192)
    assert torch.equal(make(layer)(x), make(layer, weights=rows)(x))


@needs_kernels
@pytest.mark.parametrize("kind", ["marian", "t5"])
def test_the_vocabularys_layer_is_transformed_but_not_the_table_it_shares(
    kind: str, written: Written, load: Load
) -> None:
    model, _ = written(kind)
    mine = load(kind, "int8").model
    assert model.config.tie_word_embeddings
    assert mine.lm_head.is_transformed
    assert torch.equal(mine.get_input_embeddings().weight, model.get_input_embeddings().weight)


def test_a_prepared_model_computes_on_the_integers_of_its_file(written: Written, tmp_path: Path) -> None:
    _, source = written("llama")
    folder = tmp_path / "small"
    folder.mkdir()
    prepare.write(tiny.spec(source), prepare.Recipe(), folder)
    name = "model.layers.0.self_attn.o_proj.weight"
    stored = load_file(folder / "model.safetensors")
    assert f"{name}.hadamard_scale" in stored
    again = quantized(loading.load_model(tiny.spec(folder), torch.float32, None).get_parameter(name))
    assert again.is_transformed
    assert torch.equal(again.values, stored[name])


@torch.inference_mode()
def test_a_file_holds_transformed_rows_under_a_mark_and_others_plain(tmp_path: Path) -> None:
    rounded = as_rows(gaussian(50, 64), is_transformed=False).expanded()
    state = {"wide": gaussian(50, 192), "odd": gaussian(50, 90), "rounded": rounded, "vector": gaussian(5)}
    path = tmp_path / "model.safetensors"
    save_int8(state, path)
    assert load_file(path).keys() == {*state, "wide.hadamard_scale", "odd.scale", "rounded.scale"}
    found = load_state([path])
    assert {name: each.shape for name, each in found.items()} == {name: each.shape for name, each in state.items()}
    assert torch.equal(found["rounded"], rounded)
    assert all(error(found[name], state[name]) < 0.01 for name in state)
    assert torch.equal(quantized(found["wide"]).values, quantized(state["wide"]).values)
