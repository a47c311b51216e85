import json
import logging
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from lengthwise import entry_points
from lengthwise.errors import ConfigurationError
from lengthwise.models import manifest
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.published.native_types import NATIVE_TYPES
from tests.engine import tiny
from tests.engine.decode.test_generation import run
from worker.engine import registry
from worker.engine.protocol import Architecture, EngineError
from worker.engine.transformer.engine import TorchEngine
from worker.engine.transformer.weights.checkpoint import save_int8


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "generation_config.json", "tokenizer.json"])
def test_a_file_that_differs_from_the_manifest_is_refused_by_name(llama: Path, name: str) -> None:
    content = bytearray((llama / name).read_bytes())
    content[-2] ^= 1
    (llama / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=name):
        tiny.load(llama, kind="generate")


def test_a_file_that_the_manifest_does_not_list_is_refused(llama: Path) -> None:
    manifest.write(llama, ["config.json", "generation_config.json", "tokenizer.json"])
    with pytest.raises(ConfigurationError, match=r"model\.safetensors is not listed"):
        tiny.load(llama)


def test_a_folder_without_a_manifest_is_taken_with_a_warning(llama: Path, caplog: pytest.LogCaptureFixture) -> None:
    (llama / manifest.MANIFEST).unlink()
    with caplog.at_level(logging.WARNING, "worker.engine.transformer.weights.loading"):
        tiny.load(llama)
    assert "no manifest.json" in caplog.text


def test_pickled_weights_are_refused(llama: Path) -> None:
    torch.save(load_file(llama / "model.safetensors"), llama / "pytorch_model.bin")
    (llama / "model.safetensors").unlink()
    with pytest.raises(ConfigurationError, match="pickled"):
        tiny.load(llama)


def test_a_model_that_brings_its_own_code_is_refused(llama: Path) -> None:
    tiny.edit_config(llama, model_type="evil", auto_map={"AutoModelForCausalLM": "modeling.Evil"})
    (llama / manifest.MANIFEST).unlink()
    with pytest.raises(ConfigurationError, match="auto_map"):
        tiny.load(llama)


def test_an_architecture_that_is_not_a_model_is_refused(llama: Path) -> None:
    tiny.edit_config(llama, architectures=["logging"])
    (llama / manifest.MANIFEST).unlink()
    with pytest.raises(ConfigurationError, match="logging"):
        tiny.load(llama)


def test_of_a_family_that_transformers_knows_the_models_own_code_is_not_needed(llama: Path) -> None:
    expected = run(tiny.load(llama), tiny.requests())
    (llama / "modeling.py").write_text("raise SystemExit('ran')")
    tiny.edit_config(llama, auto_map={"AutoModelForCausalLM": "modeling.Evil", "AutoConfig": "modeling.EvilConfig"})
    (llama / manifest.MANIFEST).unlink()
    assert run(tiny.load(llama), tiny.requests()) == expected


def test_the_list_of_families_is_that_of_transformers() -> None:
    names: set[str] = set()
    for form in ("CAUSAL_LM", "SEQ_TO_SEQ_CAUSAL_LM", "SEQUENCE_CLASSIFICATION", "MASKED_LM", "TEXT_ENCODING"):
        names |= set(getattr(modeling_auto, f"MODEL_FOR_{form}_MAPPING_NAMES"))
    assert set(CONFIG_MAPPING) >= NATIVE_TYPES, "these families are unknown: take them out of native_types.py"
    assert {"phi3", "deepseek_v3", "nomic_bert", "qwen3", "gemma3"} <= NATIVE_TYPES
    # A newer transformers knows more: those are merely refused by an API until they are added to native_types.py.
    assert len(names - NATIVE_TYPES) < 60, sorted(names - NATIVE_TYPES)


def test_tensors_that_the_model_does_not_have_are_logged_with_names(
    llama: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = run(tiny.load(llama), tiny.requests())
    state = load_file(llama / "model.safetensors") | {f"extra.{at}": torch.zeros(1) for at in range(6)}
    save_file(state, llama / "model.safetensors", {"format": "pt"})
    (llama / manifest.MANIFEST).unlink()
    with caplog.at_level(logging.WARNING, "worker.engine.transformer.weights.loading"):
        assert run(tiny.load(llama), tiny.requests()) == expected
    assert "6 of its tensors belong to no part of the model: extra.0, extra.1, extra.2, extra.3 and 2" in caplog.text


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_weights_that_lack_a_matrix_are_refused_by_name(llama: Path) -> None:
    state = load_file(llama / "model.safetensors")
    del state["model.layers.0.mlp.up_proj.weight"]
    save_file(state, llama / "model.safetensors", {"format": "pt"})
    (llama / manifest.MANIFEST).unlink()
    with pytest.raises(EngineError, match=r"1 are missing: model\.layers\.0\.mlp\.up_proj\.weight"):
        tiny.load(llama)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_weights_of_other_shapes_than_the_config_says_are_refused_by_name(llama: Path) -> None:
    tiny.edit_config(llama, intermediate_size=96)
    (llama / manifest.MANIFEST).unlink()
    with pytest.raises(
        EngineError, match=r"json: 6 have a wrong shape: .*down_proj\.weight \(has 128×128, must have 128×96\)"
    ):
        tiny.load(llama)


def test_shards_give_the_answers_of_the_whole(llama: Path) -> None:
    whole = run(tiny.load(llama), tiny.requests())
    state = load_file(llama / "model.safetensors")
    (llama / "model.safetensors").unlink()
    names = {key: f"model-{place % 2}.safetensors" for place, key in enumerate(state)}
    for shard in set(names.values()):
        save_file(
            {key: tensor for key, tensor in state.items() if names[key] == shard}, llama / shard, {"format": "pt"}
        )
    (llama / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    manifest.write(llama, sorted(path.name for path in llama.iterdir() if path.name != manifest.MANIFEST))
    assert run(tiny.load(llama), tiny.requests()) == whole


def test_an_index_that_points_outside_its_folder_is_refused(llama: Path) -> None:
    (llama / manifest.MANIFEST).unlink()
    (llama / "model.safetensors").rename(llama.parent / "elsewhere.safetensors")
    (llama / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}}))
    with pytest.raises(ConfigurationError, match=r"index\.json names"):
        tiny.load(llama)


def test_a_checkpoint_of_int8_rows_gives_the_int8_answers_of_the_original(llama: Path) -> None:
    (llama / manifest.MANIFEST).unlink()
    state = {name: tensor.half().float() for name, tensor in load_file(llama / "model.safetensors").items()}
    save_int8(state, llama / "model.safetensors")
    stored = load_file(llama / "model.safetensors")
    assert stored["model.layers.0.mlp.up_proj.weight"].dtype == torch.int8
    first = run(tiny.load(llama, "int8"), tiny.requests())
    assert len({token for completion in first.values() for token in completion.tokens}) > 8


@pytest.mark.parametrize("damage", ["too short", "both forms"])
def test_int8_rows_whose_scales_do_not_fit_are_refused(llama: Path, damage: str) -> None:
    (llama / manifest.MANIFEST).unlink()
    save_int8(load_file(llama / "model.safetensors"), llama / "model.safetensors")
    stored, name = load_file(llama / "model.safetensors"), "model.layers.0.mlp.up_proj.weight.hadamard_scale"
    scale = stored.pop(name)
    if damage == "too short":
        stored[name] = scale[:-1].clone()
    else:
        stored |= {name: scale, name.replace("hadamard_scale", "scale"): scale.clone()}
    save_file(stored, llama / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EngineError, match="do not fit"):
        tiny.load(llama, "int8")


def test_the_registry_loads_the_engine_a_model_names(llama: Path) -> None:
    engine = registry.load(tiny.spec(llama))
    assert isinstance(engine, TorchEngine)
    capabilities = engine.capabilities()
    assert (capabilities.architecture, capabilities.context) == (Architecture.DECODER_ONLY, 256)
    assert (capabilities.device, capabilities.quantization, capabilities.labels) == ("cpu", "none", ())


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    spec = ModelSpec.model_validate({"name": "tiny", "path": ".", "engine": "abacus"})
    with pytest.raises(ConfigurationError, match=r"'abacus'.*torch"):
        registry.load(spec)


def test_an_engine_whose_extra_is_missing_is_refused_with_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_points, "_load", entry_points._load.__wrapped__)  # which keeps what it has loaded
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    monkeypatch.delitem(sys.modules, "worker.engine.ctranslate2", raising=False)
    spec = ModelSpec.model_validate({"name": "tiny", "path": ".", "engine": "ctranslate2"})
    with pytest.raises(ConfigurationError, match=r"needs ctranslate2: .*backends\.md"):
        registry.load(spec)
