"""SmolLM, and hybrids of attention and state spaces: Granite 4, Falcon-H1, Bamba and Mamba-2."""

from typing import Any

import torch

from tests.published.families.sizes import DECODER
from tests.published.forms import card, weights
from tests.published.forms.byte_level import ByteLevel
from tests.published.published import CONTINUES, WRITES, Published

_BFLOAT: Any = {"dtype": torch.bfloat16}
_APACHE = "apache-2.0"

_SMOL2 = ByteLevel(
    first=("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<file_sep>"), has_parts=True,
    config={
        "add_prefix_space": False, "bos_token": "<|im_start|>", "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>", "model_max_length": 8192, "pad_token": "<|im_end|>",
        "tokenizer_class": "GPT2Tokenizer", "unk_token": "<|endoftext|>",
    },
)  # fmt: skip
_SMOL2_CONFIG: dict[str, Any] = DECODER | {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False, "bos_token_id": 1,
    "eos_token_id": 2, "hidden_act": "silu", "is_llama_config": True, "max_position_embeddings": 8192,
    "mlp_bias": False, "pad_token_id": 2, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_interleaved": False,
    "rope_scaling": None, "rope_theta": 100000, "tie_word_embeddings": True, "transformers.js_config": {},
    "vocab_size": _SMOL2.size,
}  # fmt: skip

_SMOL3_PLAIN = ("<think>", "</think>", "<tool_call>", "</tool_call>")
_SMOL3 = ByteLevel(
    last=("<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>", *_SMOL3_PLAIN), plain=_SMOL3_PLAIN,
    before=None,
    config={
        "bos_token": None, "clean_up_tokenization_spaces": True, "eos_token": "<|im_end|>", "fast": False,
        "model_max_length": 131072, "pad_token": "<|im_end|>", "tokenizer_class": "PreTrainedTokenizerFast",
    },
)  # fmt: skip
_SMOL3_CONFIG: dict[str, Any] = DECODER | {
    "architectures": ["SmolLM3ForCausalLM"], "model_type": "smollm3", "attention_bias": False, "mlp_bias": False,
    "bos_token_id": _SMOL3.id("<|begin_of_text|>"), "eos_token_id": _SMOL3.id("<|im_end|>"), "hidden_act": "silu",
    "layer_types": ["full_attention"] * 2, "max_position_embeddings": 65536, "no_rope_layer_interval": 2,
    "no_rope_layers": [1, 0], "pad_token_id": _SMOL3.id("<|im_end|>"), "rms_norm_eps": 1e-06, "rope_scaling": None,
    "rope_theta": 5000000.0, "sliding_window": None, "tie_word_embeddings": True, "use_sliding_window": False,
    "vocab_size": _SMOL3.size, "max_window_layers": 2, "pretraining_tp": 2,
}  # fmt: skip

_GRANITE = ByteLevel(
    last=("<|pad|>", "<|end_of_text|>", "<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>"), has_parts=True,
    config={
        "add_bos_token": False, "add_prefix_space": False, "bos_token": "<|end_of_text|>",
        "clean_up_tokenization_spaces": False, "eos_token": "<|end_of_text|>",
        "model_max_length": 1000000000000000019884624838656, "pad_token": "<|pad|>", "padding_side": "left",
        "tokenizer_class": "GPT2Tokenizer", "unk_token": "<|end_of_text|>",
    },
)  # fmt: skip
_GRANITE_END = _GRANITE.id("<|end_of_text|>")
_MAMBA: dict[str, Any] = {
    "mamba_chunk_size": 16, "mamba_conv_bias": True, "mamba_d_conv": 4, "mamba_d_head": 32, "mamba_d_state": 16,
    "mamba_expand": 2, "mamba_n_groups": 1, "mamba_n_heads": 8, "mamba_proj_bias": False,
}  # fmt: skip
_GRANITE_CONFIG: dict[str, Any] = DECODER | _MAMBA | {
    "architectures": ["GraniteMoeHybridForCausalLM"], "model_type": "granitemoehybrid", "attention_bias": False,
    "attention_multiplier": 0.0078125, "bos_token_id": _GRANITE_END, "embedding_multiplier": 12,
    "eos_token_id": _GRANITE_END, "hidden_act": "silu", "init_method": "mup", "intermediate_size": 64,
    "layer_types": ["mamba", "attention"], "logits_scaling": 6, "max_position_embeddings": 131072,
    "normalization_function": "rmsnorm", "num_experts_per_tok": 2, "num_local_experts": 4,
    "output_router_logits": False, "pad_token_id": _GRANITE.id("<|pad|>"), "position_embedding_type": "nope",
    "residual_multiplier": 0.22, "rms_norm_eps": 1e-05, "rope_scaling": None, "rope_theta": 10000,
    "router_aux_loss_coef": 0.01, "shared_intermediate_size": 64, "tie_word_embeddings": True,
    "vocab_size": _GRANITE.size,
}  # fmt: skip

_FALCON = ByteLevel(
    first=(">>TITLE<<", "<|begin_of_text|>", "<|end_of_text|>"), last=("<|im_start|>", "<|im_end|>", "<|pad|>"),
    config={
        "bos_token": "<|begin_of_text|>", "clean_up_tokenization_spaces": True, "eos_token": "<|end_of_text|>",
        "model_input_names": ["input_ids", "attention_mask"], "pad_token": "<|pad|>",
        "model_max_length": 1000000000000000019884624838656, "tokenizer_class": "PreTrainedTokenizerFast",
    },
)  # fmt: skip
_FALCON_CONFIG: dict[str, Any] = DECODER | _MAMBA | {
    "architectures": ["FalconH1ForCausalLM"], "model_type": "falcon_h1", "attention_bias": False,
    "attention_in_multiplier": 1.0, "attention_out_multiplier": 0.9375, "attn_layer_indices": None,
    "bos_token_id": 1, "embedding_multiplier": 5.65, "eos_token_id": _FALCON.id("<|im_end|>"), "head_dim": 32,
    "hidden_act": "silu", "key_multiplier": 0.39, "lm_head_multiplier": 0.0195, "mamba_d_ssm": 256,
    "mamba_norm_before_gate": False, "mamba_rms_norm": False, "mamba_use_mlp": True, "max_position_embeddings": 16384,
    "mlp_bias": False, "mlp_expansion_factor": 8, "mlp_multipliers": [0.88, 0.58], "num_logits_to_keep": 1,
    "pad_token_id": _FALCON.id("<|pad|>"), "projectors_bias": False, "rms_norm_eps": 1e-05, "rope_scaling": None,
    "rope_theta": 100000000000.0, "ssm_in_multiplier": 1.25, "ssm_multipliers": [0.35, 0.25, 0.35, 0.5, 0.35],
    "ssm_out_multiplier": 0.23, "tie_word_embeddings": False, "vocab_size": _FALCON.size,
}  # fmt: skip

_BAMBA = ByteLevel(
    last=("<|begin_of_text|>", "<|end_of_text|>"), before="<|begin_of_text|>",
    config={
        "bos_token": "<|begin_of_text|>", "clean_up_tokenization_spaces": True, "eos_token": "<|end_of_text|>",
        "model_max_length": 1000000000000000019884624838656, "tokenizer_class": "PreTrainedTokenizerFast",
    },
)  # fmt: skip
_BAMBA_CONFIG: dict[str, Any] = DECODER | _MAMBA | {
    "architectures": ["BambaForCausalLM"], "model_type": "bamba", "attention_bias": False, "attn_layer_indices": [1],
    "attn_rotary_emb": 16, "bos_token_id": _BAMBA.id("<|begin_of_text|>"),
    "eos_token_id": _BAMBA.id("<|end_of_text|>"), "hidden_act": "silu", "max_position_embeddings": 4096,
    "mlp_bias": False, "num_logits_to_keep": 1, "pad_token_id": 0, "projectors_bias": False, "rms_norm_eps": 1e-05,
    "tie_word_embeddings": False, "vocab_size": _BAMBA.size,
}  # fmt: skip

_NEOX = ByteLevel(
    first=("<|endoftext|>", "<|padding|>"), is_gpt2=True,
    config={"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>",
            "tokenizer_class": "GPTNeoXTokenizer", "unk_token": "<|endoftext|>"},
)  # fmt: skip
_MAMBA2_CONFIG: dict[str, Any] = {
    "architectures": ["Mamba2ForCausalLM"], "model_type": "mamba2", "bos_token_id": 0, "chunk_size": 16,
    "conv_kernel": 4, "eos_token_id": 0, "expand": 2, "head_dim": 32, "hidden_act": "silu", "hidden_size": 128,
    "initializer_range": 0.1, "layer_norm_epsilon": 1e-05, "n_groups": 1, "norm_before_gate": True, "num_heads": 8,
    "num_hidden_layers": 2, "pad_token_id": 0, "residual_in_fp32": True, "rms_norm": True, "state_size": 16,
    "tie_word_embeddings": True, "torch_dtype": "float32", "use_bias": False, "use_cache": True,
    "use_conv_bias": True, "vocab_size": _NEOX.size,
}  # fmt: skip


def _ends(begin: int, end: int | list[int], **more: Any) -> card.Part:
    return card.generation(bos_token_id=begin, eos_token_id=end, **more)


REPOSITORIES = (
    Published(
        "HuggingFaceTB/SmolLM2-135M-Instruct", _APACHE, WRITES,
        (_SMOL2, card.template_field("smollm2"), _ends(1, 2, pad_token_id=2), weights.write(_SMOL2_CONFIG, **_BFLOAT)),
    ),
    Published(
        "HuggingFaceTB/SmolLM3-3B", _APACHE, WRITES,
        (_SMOL3, card.template_file("smollm3"),
         _ends(_SMOL3.id("<|begin_of_text|>"), _SMOL3.id("<|im_end|>"), do_sample=True, temperature=0.6, top_p=0.95),
         weights.write(_SMOL3_CONFIG, weights.sharded, **_BFLOAT)),
    ),
    Published(
        "ibm-granite/granite-4.0-h-tiny", _APACHE, WRITES,
        (_GRANITE, card.template_file("granite-4"), _ends(_GRANITE_END, _GRANITE_END),
         weights.write(_GRANITE_CONFIG, weights.sharded, spread=weights.Spread(embedding=0.002), **_BFLOAT)),
    ),
    Published(
        "tiiuae/Falcon-H1-0.5B-Instruct", "other", WRITES,
        (_FALCON, card.template_file("falcon-h1"), _ends(1, [_FALCON.id("<|im_end|>"), 2]),
         weights.write(_FALCON_CONFIG, **_BFLOAT)),
    ),
    Published(
        "ibm-ai-platform/Bamba-9B-v1", _APACHE, CONTINUES,
        (_BAMBA, weights.write(_BAMBA_CONFIG, weights.sharded, **_BFLOAT)),
    ),
    Published("AntonV/mamba2-130m-hf", _APACHE, CONTINUES, (_NEOX, _ends(0, 0), weights.write(_MAMBA2_CONFIG))),
)  # fmt: skip
