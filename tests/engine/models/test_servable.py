"""Which kinds each architecture serves, with weights: what cannot be served is refused when it is loaded."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lengthwise.errors import ConfigurationError
from lengthwise.models import manifest
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.labels import Labels
from tests.engine import tiny
from tests.engine.conftest import Written
from tests.engine.decode.test_generation import run
from worker.engine import registry
from worker.engine.protocol import Architecture

SERVED = {
    "marian": {"translate", "generate"},
    "t5": {"translate", "generate"},
    "llama": {"generate"},
    "gpt2": {"generate"},
    "bert": {"moderate"},
    "distilbert": {"moderate"},
    "deberta-v2": {"moderate"},
    "embed-bert": {"embed"},
    "embed-mpnet": {"embed"},
    "masked-roberta": set(),
    "token-bert": set(),
    "question-bert": set(),
    "bare-llama": set(),
    "bare-bart": set(),
}


@pytest.mark.parametrize("kind", ["translate", "generate", "moderate", "embed"])
@pytest.mark.parametrize("name", sorted(SERVED))
def test_a_kind_is_loaded_only_with_a_model_that_can_serve_it(name: str, kind: str, written: Written) -> None:
    spec = tiny.spec(written(name)[1], kind=kind)
    if kind in SERVED[name]:
        registry.load(spec)
        return
    with pytest.raises(ConfigurationError, match=f"cannot serve {kind}|{spec.config['architectures'][0]}"):
        registry.load(spec)


@pytest.mark.parametrize("name", ["bert", "distilbert"])
def test_the_labels_of_the_files_are_those_of_the_engine(name: str, written: Written) -> None:
    folder = written(name)[1]
    capabilities = tiny.load(folder).capabilities()
    found = Labels.of(json.loads((folder / "config.json").read_bytes()))
    assert (found.names, found.are_exclusive) == (capabilities.labels, capabilities.are_labels_exclusive)
    assert found.are_exclusive is (name == "bert")


def test_a_softmax_without_a_harmless_label_is_not_loaded(written: Written) -> None:
    table = {"path": written("bert")[1], "device": "cpu", "moderate": {}}
    with pytest.raises(ConfigurationError, match=r"LABEL_0, LABEL_1, LABEL_2.*harmless"):
        registry.load(ModelSpec.from_table("tiny", table))


def test_a_decoder_that_only_transformers_knows_is_no_embedder_either(written: Written, tmp_path: Path) -> None:
    folder = shutil.copytree(written("bare-llama")[1], tmp_path / "m")
    tiny.edit_config(folder, model_type="xglm", architectures=["XGLMModel"])
    (folder / manifest.MANIFEST).unlink()
    with pytest.raises(ConfigurationError, match=r"a decoder without modules\.json"):
        tiny.load(folder, kind="embed")


@pytest.mark.parametrize("name", sorted(tiny.MASKED))
@torch.inference_mode()
def test_a_fill_mask_model_with_pooling_files_is_an_embedder(name: str, written: Written, tmp_path: Path) -> None:
    model: Any = written(name)[0]
    folder = shutil.copytree(written(name)[1], tmp_path / "m")
    (folder / manifest.MANIFEST).unlink()
    modules = [{"type": f"sentence_transformers.models.{each}"} for each in ("Transformer", "Pooling", "Normalize")]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    engine = tiny.load(folder, kind="embed")
    assert engine.capabilities().architecture is Architecture.EMBEDDER
    found = run(engine, tiny.requests())
    for request in tiny.requests():
        hidden = model.base_model(torch.tensor([request.tokens])).last_hidden_state[0].mean(dim=0)
        expected = torch.nn.functional.normalize(hidden, dim=0)
        assert torch.allclose(torch.tensor(found[request.id].vector), expected, rtol=0, atol=1e-5)
