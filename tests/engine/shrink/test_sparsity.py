from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from lengthwise.errors import ConfigurationError
from tests.engine import tiny
from tests.engine.conftest import Written
from tests.engine.decode.test_generation import run
from worker.engine.transformer.shrink import prepare
from worker.engine.transformer.shrink.prepare import Recipe
from worker.engine.transformer.shrink.prune import two_of_four


@given(rows=st.integers(1, 9), groups=st.integers(1, 9), seed=st.integers(0, 99), is_coarse=st.booleans())
def test_the_two_smallest_of_each_four_become_zero_and_nothing_else_changes(
    rows: int, groups: int, seed: int, is_coarse: bool
) -> None:
    weight = torch.randn(rows, 4 * groups, generator=torch.Generator().manual_seed(seed))
    weight = weight.round() if is_coarse else weight  # rounding makes many weights equal or zero
    pruned = two_of_four(weight)
    fours, left = weight.abs().reshape(-1, 4), pruned.reshape(-1, 4)
    assert pruned.shape == weight.shape
    assert int((left == 0).sum(dim=1).min()) >= 2
    assert torch.equal(pruned[pruned != 0], weight[pruned != 0])
    # The two that stay are the largest.
    assert torch.equal(left.abs().sum(dim=1), fours.sort(dim=1).values[:, 2:].sum(dim=1))


@pytest.mark.parametrize("kind", ["bert", "llama", "marian", "t5"])
def test_the_linear_layers_alone_are_pruned_and_the_model_runs(kind: str, written: Written, tmp_path: Path) -> None:
    model, source = written(kind)
    prepare.write(tiny.spec(source), Recipe("none", sparsity="2:4"), tmp_path)
    before, after = load_file(source / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    assert changed == {key for key in linear if any(part.isdigit() for part in key.split("."))}
    assert len(run(tiny.load(tmp_path), tiny.requests())) == 7


def test_a_pruned_matrix_in_int8_has_the_same_zeros(written: Written, tmp_path: Path) -> None:
    _, source = written("llama")
    prepare.write(tiny.spec(source), Recipe("int8", sparsity="2:4"), tmp_path)
    stored = load_file(tmp_path / "model.safetensors")["model.layers.1.mlp.up_proj.weight"]
    original = load_file(source / "model.safetensors")["model.layers.1.mlp.up_proj.weight"]
    assert stored.dtype == torch.int8
    assert not stored[two_of_four(original) == 0].any()
    assert stored.any()


def test_an_architecture_whose_matrices_may_be_transposed_is_refused(written: Written, tmp_path: Path) -> None:
    _, source = written("gpt2")
    with pytest.raises(ConfigurationError, match="'gpt2'"):
        prepare.write(tiny.spec(source), Recipe("none", sparsity="2:4"), tmp_path)
