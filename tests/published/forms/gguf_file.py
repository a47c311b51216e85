"""GGUF: weights, settings, tokenizer and chat template in one file, as llama.cpp reads it."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf

from tests.published.forms import byte_level, card, weights
from tests.published.forms.byte_level import ByteLevel
from tests.published.forms.card import Part

_KINDS = {"q4_0": gguf.GGMLQuantizationType.Q4_0, "q8_0": gguf.GGMLQuantizationType.Q8_0}


def write(config: dict[str, Any], tokenizer: ByteLevel, files: Sequence[str], template: str) -> Part:
    """One file for each name, which ends with its quantization. No ``config.json`` and no tokenizer stand beside."""

    def part(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as place:
            weights.write(config, used=tokenizer.size)(Path(place))
            tensors = weights.read_single(Path(place))
        for file in files:
            _write(folder / file, config, tokenizer, card.template_source(template), tensors)

    return part


def _write(path: Path, config: dict[str, Any], tokenizer: ByteLevel, template: str, tensors: weights.Tensors) -> None:
    writer = gguf.GGUFWriter(path, config["model_type"])
    writer.add_name("qwen2.5-0.5b-instruct")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    _add_tokenizer(writer, config, tokenizer, template)
    kind = _KINDS[path.stem.rpartition("-")[2]]
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config["num_hidden_layers"])
    for name, tensor in tensors.items():
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert target is not None, name
        own = kind if tensor.dim() > 1 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(target, gguf.quants.quantize(tensor.float().numpy(), own), raw_dtype=own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: Any, config: dict[str, Any], tokenizer: ByteLevel, template: str) -> None:
    pieces = tokenizer.pieces
    unused = [f"[PAD{place}]" for place in range(len(pieces), config["vocab_size"])]
    types = [_type(tokenizer, piece) for piece in pieces] + [gguf.TokenType.UNUSED] * len(unused)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([*pieces, *unused])
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(merge) for merge in byte_level.merges()])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["bos_token_id"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(template)


def _type(tokenizer: ByteLevel, piece: str) -> Any:
    if piece in tokenizer.plain:
        return gguf.TokenType.USER_DEFINED
    return gguf.TokenType.CONTROL if piece in tokenizer.last else gguf.TokenType.NORMAL
