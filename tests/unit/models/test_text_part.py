"""The text part of models that also read images or sound, from their ``config.json`` alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.errors import ConfigurationError
from lengthwise.models import architecture, text_part
from lengthwise.models.architecture import Architecture
from lengthwise.models.catalog import ModelSpec

#: As it is published: nearly all of the text part's values are transformers' defaults.
GEMMA = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "boi_token_index": 255999,
    "eos_token_id": [1, 106],
    "image_token_index": 262144,
    "mm_tokens_per_image": 256,
    "model_type": "gemma3",
    "text_config": {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    },
    "vision_config": {"hidden_size": 1152, "image_size": 896, "model_type": "siglip_vision_model", "patch_size": 14},
}
QWEN = {
    "architectures": ["Qwen3_5ForConditionalGeneration"],
    "model_type": "qwen3_5",
    "image_token_id": 248056,
    "text_config": {"model_type": "qwen3_5_text", "max_position_embeddings": 262144, "eos_token_id": 248044},
    "vision_config": {"depth": 27},
    "tie_word_embeddings": True,
}
SOUND = {
    "architectures": ["VoxtralForConditionalGeneration"],
    "audio_config": {"num_mel_bins": 128},
    "text_config": {"model_type": "llama", "max_position_embeddings": 131072},
}


def spec(folder: Path, config: dict[str, Any]) -> ModelSpec:
    (folder / "config.json").write_text(json.dumps(config))
    return ModelSpec.from_table("m", {"path": folder, "chat": {}})


@pytest.mark.parametrize(
    ("config", "name", "context", "more"),
    [
        (GEMMA, "Gemma3ForCausalLM", 131072, {"eos_token_id": [1, 106], "sliding_window": 1024}),
        (QWEN, "Qwen3_5ForCausalLM", 262144, {"eos_token_id": 248044, "tie_word_embeddings": True}),
        (SOUND, "LlamaForCausalLM", 131072, {}),
    ],
)
def test_class_context_and_tokens_are_those_of_the_text_part(
    tmp_path: Path, config: dict[str, Any], name: str, context: int, more: dict[str, Any]
) -> None:
    found = spec(tmp_path, config)
    assert (found.config["architectures"], found.context) == ([name], context)
    assert architecture.read(found.config, tmp_path) is Architecture.DECODER_ONLY
    assert {key: found.config[key] for key in more} == more


def test_code_of_the_models_own_stays_visible(tmp_path: Path) -> None:
    assert spec(tmp_path, GEMMA | {"auto_map": {"AutoModel": "x.Y"}}).config["auto_map"]


@pytest.mark.parametrize(
    "config",
    [
        GEMMA | {"text_config": {"model_type": "gemma"}},
        GEMMA | {"text_config": {}},
        GEMMA | {"text_config": None},
        GEMMA | {"text_config": {"model_type": ["gemma3_text"]}},
        {"architectures": ["Qwen2VLForConditionalGeneration"], "vision_config": {}},
        {"architectures": ["T5ForConditionalGeneration"]},
    ],
)
def test_any_other_is_refused_in_one_line(tmp_path: Path, config: dict[str, Any]) -> None:
    name = config["architectures"][0]
    with pytest.raises(ConfigurationError, match=f"^{name} reads more than text") as caught:
        architecture.read(spec(tmp_path, config).config, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "config",
    [
        {
            "architectures": ["T5ForConditionalGeneration"],
            "is_encoder_decoder": True,
            "text_config": QWEN["text_config"],
        },
        {"architectures": ["LlamaForCausalLM"], "text_config": QWEN["text_config"]},
        {"architectures": [], "text_config": QWEN["text_config"]},
        {"text_config": QWEN["text_config"]},
    ],
)
def test_the_configuration_of_another_model_stays_as_it_is(config: dict[str, Any]) -> None:
    assert text_part.config_of(config) == config


@given(st.dictionaries(st.text(max_size=30).map("model.layers.".__add__), st.integers()))
def test_a_model_of_text_alone_keeps_all_its_weights(state: dict[str, int]) -> None:
    assert text_part.weights_of(state) == state


@given(st.dictionaries(st.text(min_size=1, max_size=30), st.integers(), min_size=1), st.booleans())
def test_the_text_parts_weights_get_the_names_of_the_text_model(inner: dict[str, int], is_new: bool) -> None:
    before = "model.language_model." if is_new else "language_model.model."
    others = {"vision_tower.a": 1, "model.visual.b": 2, "multi_modal_projector.c": 3, "mtp.d": 4, "image_newline": 5}
    found = text_part.weights_of({before + name: each for name, each in inner.items()} | others)
    assert found == {"model." + name: each for name, each in inner.items()}
