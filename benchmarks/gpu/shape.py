"""Shapes of the models for the GPU benchmark, and tiny ones to check on a CPU that everything runs."""

from dataclasses import replace

import torch

from benchmarks.engine.model import SHAPES, Shape


def _nllb(width: int, layers: int, heads: int, feed_forward: int, vocabulary: int) -> Shape:
    options = {
        "vocab_size": vocabulary,
        "d_model": width,
        "encoder_layers": layers,
        "decoder_layers": layers,
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        "encoder_ffn_dim": feed_forward,
        "decoder_ffn_dim": feed_forward,
        "scale_embedding": True,
        "max_position_embeddings": 1024,
        # As in the original models: positions start after the padding id.
        "pad_token_id": 1,
        "decoder_start_token_id": 2,
    }
    return Shape("M2M100ForConditionalGeneration", options, torch.bfloat16)


def _llama(
    width: int, feed_forward: int, layers: int, heads: int, heads_kv: int, vocabulary: int, is_tied: bool
) -> Shape:
    options = {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": feed_forward,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads_kv,
        "tie_word_embeddings": is_tied,
    }
    return replace(SHAPES["llama"], options=SHAPES["llama"].options | options, dtype=torch.bfloat16)


#: The vocabularies have their original sizes, because the output matrix is a large part of what each step reads.
SIZES = {
    "1b": _llama(2048, 8192, 16, 32, 8, 128_256, is_tied=True),
    "3b": _llama(3072, 8192, 28, 24, 8, 128_256, is_tied=True),
    "7b": _llama(4096, 11_008, 32, 32, 32, 32_000, is_tied=False),
}
GPU_SHAPES = {
    "nllb-1.3b": _nllb(1024, 24, 16, 8192, 256_206),
    "nllb-tiny": _nllb(64, 2, 4, 128, 32_000),
    "llama-tiny": _llama(64, 128, 2, 4, 2, 32_000, is_tied=True),
} | {f"llama-{size}": shape for size, shape in SIZES.items()}


def chosen(kind: str, size: str) -> str:
    """Returns the shape's name for a workload whose model is ``marian`` or ``llama``. ``size`` may be ``tiny``."""
    if kind == "llama":
        return f"llama-{size}"
    return "nllb-tiny" if size == "tiny" else "nllb-1.3b"
