"""Weights in FP8 and MXFP4 become floating point as transformers makes them; other quantized forms are refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from lengthwise.errors import ConfigurationError
from tests.engine import tiny
from tests.engine.importing_weights.published import State, assert_answers, changed, published, supplied
from tests.engine.importing_weights.test_forms import refusal

hub: Any = transformers
_BLOCK = 32


def eight_bits(state: State) -> None:
    """Turns the layers' matrices into FP8, with a scale for each block of 32 × 32."""
    for name, weight in list(state.items()):
        if name.endswith("_proj.weight"):
            rows, columns = (size // _BLOCK for size in weight.shape)
            blocks = weight.reshape(rows, _BLOCK, columns, _BLOCK)
            scales = blocks.abs().amax(dim=(1, 3)) / 448
            state[name] = (blocks / scales[:, None, :, None]).reshape(weight.shape).to(torch.float8_e4m3fn)
            state[f"{name}_scale_inv"] = scales


def eight_bit_model(kind: str, folder: Path) -> Path:
    _, source = published(kind, folder)
    changed(source, eight_bits)
    method = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [_BLOCK, _BLOCK]}
    tiny.edit_config(source, quantization_config=method | {"modules_to_not_convert": ["lm_head"]})
    return source


def four_bit_model(folder: Path) -> Path:
    """A tiny gpt-oss whose experts are in MXFP4: two values a byte, and an exponent for 32 of them."""
    torch.manual_seed(3)
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 16, "sliding_window": 20}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2}
    ids = {"vocab_size": tiny.VOCABULARY, "pad_token_id": tiny.PAD, "eos_token_id": tiny.END}
    config = hub.GptOssConfig(
        **sizes, **heads, **ids, max_position_embeddings=256, initializer_range=0.4,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )  # fmt: skip
    hub.GptOssForCausalLM(config).save_pretrained(folder)
    tiny.write_tokenizer(folder)
    state = load_file(folder / "model.safetensors")
    for layer in range(2):
        for name, rows in (("gate_up_proj", 128), ("down_proj", 64)):
            place = f"model.layers.{layer}.mlp.experts.{name}"
            del state[place]
            state[f"{place}_blocks"] = torch.randint(0, 256, (4, rows, 2, 16), dtype=torch.uint8)
            state[f"{place}_scales"] = torch.randint(122, 126, (4, rows, 2), dtype=torch.uint8)
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    tiny.edit_config(folder, quantization_config={"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]})
    return folder


@pytest.mark.parametrize("form", ["llama", "qwen3", "mxfp4"])
def test_weights_in_few_bits_answer_as_with_transformers(form: str, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    source = four_bit_model(tmp_path / "m") if form == "mxfp4" else eight_bit_model(form, tmp_path / "m")
    model = hub.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    folder, warnings = supplied(source, tmp_path)
    assert warnings == []
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    stored = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float32}
    assert stored.keys() == model.state_dict().keys()
    assert_answers(folder, model)


def test_such_weights_serve_without_an_import_too(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    source = eight_bit_model("llama", tmp_path / "m")
    assert_answers(source, hub.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval())


def test_without_the_package_that_reads_them_its_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = eight_bit_model("llama", tmp_path / "m")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    needed = "need accelerate: pip install 'lengthwise[import]'"
    assert refusal(source, tmp_path) == f"quantized weights {needed}"
    with pytest.raises(ConfigurationError, match=r"lengthwise\[import\]"):
        tiny.load(source)


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"quant_method": "gptq", "bits": 4}, "GPTQ"),
        ({"quant_method": "awq", "bits": 4}, "AWQ"),
        ({"quant_method": "compressed-tensors", "format": "int-quantized"}, "compressed-tensors"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"load_in_8bit": True}, "bitsandbytes"),
        ({"quant_method": "exl2", "bits": 4.0}, "EXL2"),
        ({"quant_method": "hqq"}, "HQQ"),
        ({"quant_method": "aqlm"}, "AQLM"),
        ({"quant_method": "quanto"}, "quanto"),
        ({"quant_method": "torchao"}, "torchao"),
        ({"quant_method": "fbgemm_fp8"}, "fbgemm_fp8"),
        ({"quant_method": "of-tomorrow"}, "of-tomorrow"),
        ({"bits": 4}, "an unknown method"),
    ],
)
def test_other_quantized_weights_are_refused_with_what_to_take(
    config: dict[str, Any], name: str, tmp_path: Path
) -> None:
    _, source = published("llama", tmp_path / "m")
    tiny.edit_config(source, quantization_config=config)
    expected = f"its weights are quantized by {name}, which lengthwise does not read: take the model in its original "
    assert refusal(source, tmp_path).startswith(expected)
    with pytest.raises(ConfigurationError, match="which lengthwise does not read: take the model"):
        tiny.load(source)


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ({"text_config": {"quantization_config": {"quant_method": "gptq"}}}, "GPTQ"),
        ({"compression_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
        ({"quantization": {"group_size": 64, "bits": 4}}, "MLX"),
        ("quantize_config.json", "GPTQ"),
        ("hf_quant_config.json", "modelopt"),
    ],
)
def test_the_method_is_found_wherever_it_is_written(place: Any, name: str, tmp_path: Path) -> None:
    _, source = published("llama", tmp_path / "m")
    if isinstance(place, str):
        (source / place).write_text("{}")
    else:
        tiny.edit_config(source, **place)
    assert f"quantized by {name}, " in refusal(source, tmp_path)
