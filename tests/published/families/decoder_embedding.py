"""Embedding models that were made of decoders: with dense layers, or pooled at the last token."""

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.published.families import gemma, qwen
from tests.published.families.embedding import modules, pooling
from tests.published.forms import card, weights
from tests.published.published import EMBEDS, Published

_GEMMA_CONFIG = {key: value for key, value in gemma.GEMMA3_CONFIG.items() if key != "cache_implementation"} | {
    "architectures": ["Gemma3TextModel"], "_sliding_window_pattern": 2, "dtype": "float32", "eos_token_id": 1,
    "layer_types": ["sliding_attention", "full_attention"], "max_position_embeddings": 2048,
    "use_bidirectional_attention": True,
}  # fmt: skip


def _dense(folder: Path) -> None:
    """Two linear layers behind the mean, without biases or activations."""
    draw = torch.Generator().manual_seed(9)
    for name, (inner, outer) in {"2_Dense": (128, 256), "3_Dense": (256, 128)}.items():
        fields = {"in_features": inner, "out_features": outer, "bias": False,
                  "activation_function": "torch.nn.modules.linear.Identity"}  # fmt: skip
        card.json_file(f"{name}/config.json", fields)(folder)
        save_file({"linear.weight": torch.randn(outer, inner, generator=draw) / inner**0.5},
                  folder / name / "model.safetensors")  # fmt: skip


_PROMPTS = {"query": "task: search result | query: ", "document": "title: none | text: "}
_DENSE_MODULES = modules(
    ("Pooling", "1_Pooling"), ("Dense", "2_Dense"), ("Dense", "3_Dense"), ("Normalize", "4_Normalize")
)


def _with_end(folder: Path) -> None:
    """Qwen's tokenizer for embeddings puts ``<|endoftext|>`` behind each text, where the last token is taken."""
    replace(qwen.QWEN3, behind="<|endoftext|>")(folder)


def _without_prefix(tensors: weights.Tensors) -> weights.Tensors:
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name != "lm_head.weight"}


_QWEN_PROMPTS = {
    "prompts": {"query": "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:",
                "document": ""},
    "default_prompt_name": None, "similarity_fn_name": "cosine",
}  # fmt: skip

REPOSITORIES = (
    Published(
        "google/embeddinggemma-300m", "gemma", EMBEDS,
        (gemma.GEMMA, _DENSE_MODULES, pooling("mean_tokens", 128), _dense,
         card.json_file("sentence_bert_config.json", {"max_seq_length": 2048, "do_lower_case": False}),
         card.json_file("config_sentence_transformers.json", {"prompts": _PROMPTS, "default_prompt_name": None}),
         weights.write(_GEMMA_CONFIG, spread=gemma.SPREAD)),
        is_gated=True,
    ),
    Published(
        "Qwen/Qwen3-Embedding-0.6B", "apache-2.0", EMBEDS,
        (_with_end, modules(("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")), pooling("lasttoken", 128),
         card.json_file("config_sentence_transformers.json", _QWEN_PROMPTS),
         weights.write(qwen.QWEN3_CONFIG | {"eos_token_id": qwen.QWEN3.id("<|endoftext|>")},
                       change=_without_prefix, **qwen.OF_QWEN3)),
    ),
)  # fmt: skip
