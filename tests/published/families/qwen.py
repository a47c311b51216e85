"""Qwen 2.5, 3, 3 Next and 3.5, plain, as mixture of experts, and quantized."""

from typing import Any

import torch

from tests.published.families.sizes import DECODER
from tests.published.forms import adapter, card, gguf_file, quantized, weights
from tests.published.forms.byte_level import ByteLevel
from tests.published.published import WRITES, Published

_CHAT = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_VISION = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_TOOLS = ("<tool_call>", "</tool_call>")
_THINKING = ("<tool_response>", "</tool_response>", "<think>", "</think>")
_NAMES: dict[str, Any] = {
    "add_bos_token": False, "add_prefix_space": False, "bos_token": None, "clean_up_tokenization_spaces": False,
    "eos_token": "<|im_end|>", "errors": "replace", "model_max_length": 131072, "pad_token": "<|endoftext|>",
    "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer", "unk_token": None,
}  # fmt: skip
QWEN2 = ByteLevel(last=(*_CHAT, *_VISION, *_TOOLS), plain=_TOOLS, composes=True, has_parts=True, config=_NAMES)
_PLAIN = (*_TOOLS, *_THINKING)
QWEN3 = ByteLevel(
    last=(*_CHAT, *_VISION, *_TOOLS, *_THINKING), plain=_PLAIN, composes=True, has_parts=True, config=_NAMES
)
_OF_QWEN2: Any = {"dtype": torch.bfloat16, "used": QWEN2.size}
OF_QWEN3: Any = {"dtype": torch.bfloat16, "used": QWEN3.size}


def _ids(tokenizer: ByteLevel) -> dict[str, Any]:
    """The special ids. As published, the table of embeddings is larger than the tokenizer."""
    begin, end = tokenizer.id("<|endoftext|>"), tokenizer.id("<|im_end|>")
    return {"bos_token_id": begin, "eos_token_id": end, "vocab_size": tokenizer.size + -tokenizer.size % 64 + 64}


def _generation(tokenizer: ByteLevel, **sampling: Any) -> Any:
    begin, end = tokenizer.id("<|endoftext|>"), tokenizer.id("<|im_end|>")
    return card.generation(
        bos_token_id=begin, pad_token_id=begin, do_sample=True, eos_token_id=[end, begin], **sampling
    )


_COMMON: dict[str, Any] = {
    **DECODER, "hidden_act": "silu", "max_window_layers": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
    "sliding_window": None, "use_sliding_window": False, "tie_word_embeddings": True,
}  # fmt: skip
QWEN2_CONFIG: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", **_COMMON, "max_position_embeddings": 32768,
    **_ids(QWEN2),
}  # fmt: skip
QWEN3_CONFIG: dict[str, Any] = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", **_COMMON, "attention_bias": False, "head_dim": 64,
    "max_position_embeddings": 40960, "rope_scaling": None, **_ids(QWEN3),
}  # fmt: skip
_EXPERTS = {
    "decoder_sparse_step": 1, "mlp_only_layers": [], "moe_intermediate_size": 64, "norm_topk_prob": True,
    "num_experts": 4, "num_experts_per_tok": 2, "output_router_logits": False, "router_aux_loss_coef": 0.001,
}  # fmt: skip
_LINEAR = {
    "linear_conv_kernel_dim": 4, "linear_key_head_dim": 32, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
    "linear_value_head_dim": 32,
}  # fmt: skip
_MOE_CONFIG = QWEN3_CONFIG | _EXPERTS | {
    "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "tie_word_embeddings": False,
}  # fmt: skip
_NEXT_CONFIG = QWEN3_CONFIG | _EXPERTS | _LINEAR | {
    "architectures": ["Qwen3NextForCausalLM"], "model_type": "qwen3_next", "full_attention_interval": 2,
    "max_position_embeddings": 262144, "partial_rotary_factor": 0.25, "rope_theta": 10000000,
    "shared_expert_intermediate_size": 64, "tie_word_embeddings": False,
}  # fmt: skip
_ROPE = {"mrope_interleaved": True, "mrope_section": [3, 3, 2], "rope_type": "default", "rope_theta": 10000000,
         "partial_rotary_factor": 0.25}  # fmt: skip
_VISION_CONFIG = {
    "deepstack_visual_indexes": [], "depth": 1, "hidden_act": "gelu_pytorch_tanh", "hidden_size": 32, "in_channels": 3,
    "initializer_range": 0.02, "intermediate_size": 64, "model_type": "qwen3_5", "num_heads": 2,
    "num_position_embeddings": 16, "out_hidden_size": 128, "patch_size": 16, "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}  # fmt: skip
_TEXT_CONFIG = DECODER | _LINEAR | {
    "attention_bias": False, "attn_output_gate": True, "dtype": "bfloat16", "full_attention_interval": 2,
    "head_dim": 64, "hidden_act": "silu", "layer_types": ["linear_attention", "full_attention"],
    "mamba_ssm_dtype": "float32", "max_position_embeddings": 262144, "model_type": "qwen3_5_text",
    "mtp_num_hidden_layers": 1, "mtp_use_dedicated_embeddings": False, "rms_norm_eps": 1e-06, "rope_parameters": _ROPE,
    "tie_word_embeddings": True, "eos_token_id": QWEN3.id("<|endoftext|>"), "vocab_size": _ids(QWEN3)["vocab_size"],
}  # fmt: skip
_QWEN35_CONFIG = {
    "architectures": ["Qwen3_5ForConditionalGeneration"], "model_type": "qwen3_5", "text_config": _TEXT_CONFIG,
    "vision_config": _VISION_CONFIG, "tie_word_embeddings": True, "image_token_id": QWEN3.id("<|image_pad|>"),
    "video_token_id": QWEN3.id("<|video_pad|>"), "vision_start_token_id": QWEN3.id("<|vision_start|>"),
    "vision_end_token_id": QWEN3.id("<|vision_end|>"), "transformers_version": "4.57.0.dev0",
}  # fmt: skip
_QWEN2_TEXT = (
    QWEN2, card.template_field("qwen2.5"), _generation(QWEN2, repetition_penalty=1.1, temperature=0.7, top_p=0.8)
)  # fmt: skip
_QWEN3_TEXT = (QWEN3, card.template_field("qwen3"), _generation(QWEN3, temperature=0.6, top_k=20, top_p=0.95))
_QWEN35_TEXT = (QWEN3, card.template_file("qwen3.5"), _generation(QWEN3, temperature=1.0, top_k=20, top_p=0.95))
#: A layer that guesses a second token, which transformers does not run.
_WITH_MTP = weights.with_extra(mtp__fc__weight=torch.zeros(128, 256, dtype=torch.bfloat16))
_APACHE = "apache-2.0"
_GGUF = ("qwen2.5-0.5b-instruct-q4_0.gguf", "qwen2.5-0.5b-instruct-q8_0.gguf")

REPOSITORIES = (
    Published(
        "Qwen/Qwen2.5-0.5B-Instruct", _APACHE, WRITES, (*_QWEN2_TEXT, weights.write(QWEN2_CONFIG, **_OF_QWEN2))
    ),
    Published("Qwen/Qwen3-0.6B", _APACHE, WRITES, (*_QWEN3_TEXT, weights.write(QWEN3_CONFIG, **OF_QWEN3))),
    Published("Qwen/Qwen3-0.6B-FP8", _APACHE, WRITES, (*_QWEN3_TEXT, quantized.fp8(QWEN3_CONFIG, used=QWEN3.size))),
    Published(
        "Qwen/Qwen3-30B-A3B", _APACHE, WRITES, (*_QWEN3_TEXT, weights.write(_MOE_CONFIG, weights.sharded, **OF_QWEN3))
    ),
    Published(
        "Qwen/Qwen3-Next-80B-A3B-Instruct", _APACHE, WRITES,
        (*_QWEN3_TEXT, weights.write(_NEXT_CONFIG, weights.sharded, change=_WITH_MTP, **OF_QWEN3)),
    ),
    Published(
        "Qwen/Qwen3.5-0.8B", _APACHE, WRITES,
        (*_QWEN35_TEXT, weights.write(_QWEN35_CONFIG, weights.sharded, change=_WITH_MTP, **OF_QWEN3)),
    ),
    Published(
        "Qwen/Qwen2.5-0.5B-Instruct-GGUF", _APACHE, WRITES, (gguf_file.write(QWEN2_CONFIG, QWEN2, _GGUF, "qwen2.5"),),
        gguf=_GGUF[1],
    ),
    Published(
        "Qwen/Qwen2.5-0.5B-Instruct-GPTQ-Int4", _APACHE, (), (*_QWEN2_TEXT, quantized.gptq(QWEN2_CONFIG)),
        refused_for="gptq", loads=False,
    ),
    Published(
        "Qwen/Qwen2.5-0.5B-Instruct-AWQ", _APACHE, (), (*_QWEN2_TEXT, quantized.awq(QWEN2_CONFIG)),
        refused_for="awq", loads=False,
    ),
    # The name is made up; adapters of this form are many.
    Published(
        "example/Qwen2.5-0.5B-Instruct-LoRA", _APACHE, WRITES,
        (adapter.write(QWEN2_CONFIG, "Qwen/Qwen2.5-0.5B-Instruct"),), base="Qwen/Qwen2.5-0.5B-Instruct",
    ),
)  # fmt: skip
