"""Writes the workloads' models to disk in the hub's format, with random weights. No token ends an answer."""

# mypy: allow-untyped-calls
# transformers ships few annotations.

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.engine.workload import PAD, VOCABULARY

#: transformers, untyped: only some of its constructors have annotations.
_hub: Any = transformers

_IDS: dict[str, Any] = {"vocab_size": VOCABULARY, "pad_token_id": PAD, "eos_token_id": None, "bos_token_id": None}


@dataclass(frozen=True)
class Shape:
    """A model's class in transformers, and the options of its config except for the token ids."""

    class_name: str
    options: dict[str, Any]
    dtype: torch.dtype = torch.float32


_MARIAN = Shape(
    "MarianMTModel",
    {
        "d_model": 512,
        "encoder_layers": 6,
        "decoder_layers": 6,
        "encoder_attention_heads": 8,
        "decoder_attention_heads": 8,
        "encoder_ffn_dim": 2048,
        "decoder_ffn_dim": 2048,
        "activation_function": "swish",
        "scale_embedding": True,
        "max_position_embeddings": 1024,
        "decoder_start_token_id": PAD,
        "forced_eos_token_id": None,
    },
)
_LLAMA = Shape(
    "LlamaForCausalLM",
    {
        "hidden_size": 768,
        "intermediate_size": 2048,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "num_key_value_heads": 4,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
    },
)
SHAPES = {"marian": _MARIAN, "llama": _LLAMA}


def build(shape: Shape) -> Any:
    """Makes the model on torch's default device."""
    kind = getattr(_hub, shape.class_name)
    return kind(kind.config_class(**(_IDS | shape.options))).to(shape.dtype)


def write(name: str, folder: Path, shapes: Mapping[str, Shape] = SHAPES) -> Path:
    """Returns the folder of the model with this name. Writes the model if it does not exist yet."""
    path = folder / name
    if not path.is_dir():
        torch.manual_seed(0)
        build(shapes[name]).save_pretrained(path)
    return path
