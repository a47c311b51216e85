"""Dropping layers, for every architecture that can be pruned."""

from itertools import pairwise
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
from worker.engine.transformer.shrink import prepare, prune
from worker.engine.transformer.shrink.prepare import Recipe

FITTING = sorted(tiny.GENERATIVE | tiny.CLASSIFIERS)


@pytest.mark.parametrize(
    ("total", "number", "expected"),
    [(12, 1, [0]), (12, 2, [0, 11]), (12, 3, [0, 6, 11]), (12, 6, [0, 2, 4, 7, 9, 11]), (3, 3, [0, 1, 2])],
)
def test_layers_that_stay_are_evenly_spaced(total: int, number: int, expected: list[int]) -> None:
    assert prune.evenly_spaced(total, number) == expected


@given(total=st.integers(2, 100), data=st.data())
def test_the_first_and_the_last_layer_stay_and_gaps_differ_by_one_at_most(total: int, data: st.DataObject) -> None:
    stay = prune.evenly_spaced(total, data.draw(st.integers(2, total)))
    gaps = {later - earlier for earlier, later in pairwise(stay)}
    assert (stay[0], stay[-1]) == (0, total - 1)
    assert min(gaps) >= 1
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("kind", FITTING)
def test_a_pruned_model_runs_and_has_one_layer_of_each_stack(kind: str, written: Written, tmp_path: Path) -> None:
    _, source = written(kind)
    prepare.write(tiny.spec(source), Recipe("none", {"": 1}), tmp_path)
    engine = tiny.load(tmp_path)
    kept = {
        stack.field: getattr(engine.model.config, stack.field)
        for stack in prune.layer_stacks(engine.model.config.to_dict())
    }
    assert set(kept.values()) == {1}
    answers = run(engine, tiny.requests())
    assert len(answers) == 7
    assert len({(answer.tokens, answer.scores) for answer in answers.values()}) > 1


def test_each_stack_is_cut_by_its_own_number(written: Written, tmp_path: Path) -> None:
    _, source = written("marian")
    kept = prepare.write(tiny.spec(source), Recipe("none", {"decoder": 1}), tmp_path)
    assert kept == {"encoder": [0, 1], "decoder": [0]}
    config = tiny.load(tmp_path).model.config
    assert (config.encoder_layers, config.decoder_layers) == (2, 1)


def test_the_layers_that_stay_are_those_of_the_source_numbered_anew() -> None:
    state = {f"model.layers.{number}.mlp.up_proj.weight": torch.full((1, 1), float(number)) for number in range(5)}
    state["model.norm.weight"] = torch.ones(1)
    config = {"model_type": "llama", "num_hidden_layers": 5, "layer_types": list("abcde")}
    keep = prune.layers_to_keep(config, state, {"": 3})
    changed, left = prune.drop_layers(config, state, keep)
    assert keep == {"layers": [0, 2, 4]}
    assert changed == {"model_type": "llama", "num_hidden_layers": 3, "layer_types": ["a", "c", "e"]}
    assert {key: float(tensor[0]) for key, tensor in left.items()} == {
        "model.norm.weight": 1.0,
        "model.layers.0.mlp.up_proj.weight": 0.0,
        "model.layers.1.mlp.up_proj.weight": 2.0,
        "model.layers.2.mlp.up_proj.weight": 4.0,
    }


def test_parts_of_a_layer_that_are_numbered_too_keep_their_numbers(written: Written, tmp_path: Path) -> None:
    _, source = written("t5")
    prepare.write(tiny.spec(source), Recipe("none", {"": 1}), tmp_path)
    before, after = load_file(source / "model.safetensors"), load_file(tmp_path / "model.safetensors")
    left = {key for key in before if ".block.1." not in key}
    assert after.keys() == left
    assert "decoder.block.0.layer.2.DenseReluDense.wi.weight" in left
    assert all(torch.equal(before[key], after[key]) for key in left)


@pytest.mark.parametrize(
    ("kind", "wanted", "message"),
    [
        ("gpt2", {"": 1}, r"layers of 'gpt2' are not known here; known: .*llama"),
        ("llama", {"": 3}, "cannot keep 3 layers: the model has 2"),
        ("llama", {"": 0}, "cannot keep 0 layers"),
        ("marian", {"decoder": 9}, "cannot keep 9 decoder layers: the model has 2"),
        ("bert", {"decoder": 1}, "no decoder to drop layers of, only layers"),
    ],
)
def test_what_cannot_be_dropped_is_refused(
    kind: str, wanted: dict[str, int], message: str, written: Written, tmp_path: Path
) -> None:
    _, source = written(kind)
    with pytest.raises(ConfigurationError, match=message):
        prepare.write(tiny.spec(source), Recipe("none", wanted), tmp_path)
