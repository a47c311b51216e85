"""Models in GGUF answer as transformers' own reader makes them, and bring their tokenizer."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from lengthwise.models.tokenizer import ModelTokenizer
from tests.engine import tiny
from tests.engine.importing_weights.published import assert_answers, published
from tests.engine.importing_weights.test_forms import refusal
from worker.importing.weights.supply import supply

hub: Any = transformers
_WORDS = [*"<>/abcdefghijklmnopqrstuvwxyz0123456789.,", "Ġ", "ab", "Ġa"]


def write_gguf(folder: Path, name: str, *, quantized: bool = False, without: str = "", **more: Any) -> tuple[Any, Path]:
    """Writes a tiny Qwen 2 as llama.cpp's converter does; returns transformers' model and the file."""
    gguf: Any = pytest.importorskip("gguf")
    model, _ = published("qwen2", folder / "original")
    config, path = model.config, folder / name
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    words = ["<pad>", "<end>", "<start>", *_WORDS]
    words += [f"<unused{at}>" for at in range(tiny.VOCABULARY - len(words))]
    control = [word.startswith("<") and len(word) > 1 for word in words]
    writer.add_token_list(words)
    writer.add_token_types([gguf.TokenType.CONTROL if each else gguf.TokenType.NORMAL for each in control])
    writer.add_token_merges(["a b", "Ġ a"])
    writer.add_eos_token_id(tiny.END)
    writer.add_bos_token_id(tiny.START)
    writer.add_pad_token_id(tiny.PAD)
    writer.add_chat_template("{{ messages[0].content }}")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config.num_hidden_layers)
    for key, tensor in model.state_dict().items():
        place = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if place == without:
            continue
        values = tensor.float().numpy()
        kind = gguf.GGMLQuantizationType.Q8_0
        if quantized and values.ndim == 2:
            writer.add_tensor(place, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(place, values)
    for place, values in more.items():
        writer.add_tensor(f"{place}.weight", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model, path


@pytest.mark.parametrize("quantized", [False, True])
@pytest.mark.parametrize("is_folder", [False, True])
def test_a_gguf_file_answers_as_with_transformers_and_brings_its_tokenizer(
    quantized: bool, is_folder: bool, tmp_path: Path
) -> None:
    pytest.importorskip("accelerate")
    (tmp_path / "m").mkdir()
    model, path = write_gguf(tmp_path / "m", "tiny-q8.gguf", quantized=quantized)
    if quantized:
        model = hub.AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    folder = tmp_path / "imported"
    folder.mkdir()
    assert supply(path.parent if is_folder else path, folder) == []
    config = json.loads((folder / "config.json").read_text())
    assert (config["architectures"], "quantization_config" in config) == (["Qwen2ForCausalLM"], False)
    assert (folder / "chat_template.jinja").read_text() == "{{ messages[0].content }}"
    assert ModelTokenizer(folder).encode(["ab a"]) == [[words_id("ab"), words_id("Ġa")]]
    tiny.write_tokenizer(folder)
    assert_answers(folder, model)


def words_id(word: str) -> int:
    return 3 + _WORDS.index(word)


def test_tensors_that_a_gguf_file_lacks_are_named(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    _, path = write_gguf(tmp_path, "m.gguf", without="blk.1.ffn_up.weight")
    assert "model.layers.1.mlp.up_proj.weight" in refusal(path, tmp_path)


def test_scaled_positions_that_the_reader_leaves_out_are_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    _, path = write_gguf(tmp_path, "m.gguf", rope_freqs=torch.ones(16).numpy())
    folder = tmp_path / "imported"
    folder.mkdir()
    [warning] = supply(path, folder)
    assert warning.startswith("how it scales positions (rope_freqs.weight) is not read from GGUF")


@pytest.mark.parametrize("keep", [0, 3, 4, 100, -1000])
def test_a_damaged_gguf_file_is_named(keep: int, tmp_path: Path) -> None:
    _, path = write_gguf(tmp_path, "m.gguf")
    path.write_bytes(path.read_bytes()[:keep])
    assert refusal(path, tmp_path).startswith("m.gguf ")


def test_of_several_gguf_files_one_has_to_be_named(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    for name in ("a-Q4_K_M.gguf", "a-Q8_0.gguf"):
        (tmp_path / "m" / name).write_bytes(b"GGUF")
    assert "2 GGUF files (a-Q4_K_M.gguf, a-Q8_0.gguf, …): name one" in refusal(tmp_path / "m", tmp_path)


def test_what_is_no_gguf_is_said(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGML and so on")
    assert refusal(tmp_path / "m.gguf", tmp_path).startswith("m.gguf is no GGUF file")
