"""Other decoders: Mistral, Phi, gpt-oss, DeepSeek and GPT-2."""

from typing import Any

import torch

from tests.published.families.sizes import DECODER
from tests.published.forms import card, quantized, weights
from tests.published.forms.byte_level import ByteLevel
from tests.published.forms.sentence_pieces import ByteFallback
from tests.published.published import CONTINUES, WRITES, Published

_BFLOAT: Any = {"dtype": torch.bfloat16}

_MISTRAL = ByteFallback(
    control=("[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
             "[/TOOL_RESULTS]"),
    config={
        "add_bos_token": True, "add_eos_token": False, "add_prefix_space": True, "bos_token": "<s>",
        "clean_up_tokenization_spaces": False, "eos_token": "</s>", "legacy": False,
        "model_max_length": 1000000000000000019884624838656, "pad_token": None, "sp_model_kwargs": {},
        "spaces_between_special_tokens": False, "tokenizer_class": "LlamaTokenizer", "unk_token": "<unk>",
    },
)  # fmt: skip
_MISTRAL_CONFIG: dict[str, Any] = DECODER | {
    "architectures": ["MistralForCausalLM"], "model_type": "mistral", "bos_token_id": 1, "eos_token_id": 2,
    "hidden_act": "silu", "max_position_embeddings": 32768, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0,
    "sliding_window": None, "tie_word_embeddings": False, "vocab_size": _MISTRAL.size,
}  # fmt: skip

_PHI3 = ByteFallback(
    last=("<|endoftext|>", "<|assistant|>", "<|placeholder1|>", "<|system|>", "<|end|>", "<|user|>"), before=None,
    config={
        "add_bos_token": False, "add_eos_token": False, "bos_token": "<s>", "clean_up_tokenization_spaces": False,
        "eos_token": "<|endoftext|>", "legacy": False, "model_max_length": 4096, "pad_token": "<|endoftext|>",
        "padding_side": "left", "sp_model_kwargs": {}, "tokenizer_class": "LlamaTokenizer", "unk_token": "<unk>",
        "use_default_system_prompt": False,
    },
)  # fmt: skip
_PHI3_MAP = {
    "AutoConfig": "configuration_phi3.Phi3Config", "AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM",
}  # fmt: skip
_PHI3_CONFIG: dict[str, Any] = DECODER | {
    "architectures": ["Phi3ForCausalLM"], "model_type": "phi3", "auto_map": _PHI3_MAP, "num_key_value_heads": 4,
    "bos_token_id": 1, "embd_pdrop": 0.0, "eos_token_id": _PHI3.id("<|endoftext|>"), "hidden_act": "silu",
    "max_position_embeddings": 4096, "original_max_position_embeddings": 4096, "resid_pdrop": 0.0,
    "pad_token_id": _PHI3.id("<|endoftext|>"), "rms_norm_eps": 1e-05, "rope_scaling": None, "rope_theta": 10000.0,
    "sliding_window": 2047, "tie_word_embeddings": False, "vocab_size": _PHI3.size,
}  # fmt: skip
_PHI3_ENDS = [_PHI3.id(token) for token in ("<|endoftext|>", "<|assistant|>", "<|end|>")]

_PHI4 = ByteLevel(
    last=("<|endoftext|>", "<|assistant|>", "<|end|>", "<|user|>", "<|system|>", "<|tool|>", "<|/tool|>",
          "<|endofprompt|>"),
    has_parts=True,
    config={
        "add_bos_token": False, "add_eos_token": False, "add_prefix_space": False, "bos_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": False, "eos_token": "<|endoftext|>", "model_max_length": 131072,
        "pad_token": "<|endoftext|>", "tokenizer_class": "GPT2Tokenizer", "unk_token": "<|endoftext|>",
    },
)  # fmt: skip
_PHI4_END = _PHI4.id("<|endoftext|>")
# 0.75 of each head turns: 12 pairs of 16.
_LONG = {"long_factor": [1.0 + pair for pair in range(12)], "short_factor": [1.0] * 12, "type": "longrope"}
_PHI4_CONFIG: dict[str, Any] = _PHI3_CONFIG | {
    "num_key_value_heads": 2, "bos_token_id": _PHI4_END, "eos_token_id": _PHI4_END, "pad_token_id": _PHI4_END,
    "attention_bias": False, "full_attn_mod": 1, "interpolate_factor": 1, "lm_head_bias": False, "mlp_bias": False,
    "max_position_embeddings": 131072, "partial_rotary_factor": 0.75, "rope_scaling": _LONG,
    "sliding_window": 262144, "tie_word_embeddings": True, "vocab_size": _PHI4.size,
    "auto_map": _PHI3_MAP | {"AutoTokenizer": "Xenova/gpt-4o"},
}  # fmt: skip

_OSS = ByteLevel(
    last=("<|startoftext|>", "<|endoftext|>", "<|return|>", "<|constrain|>", "<|channel|>", "<|start|>", "<|end|>",
          "<|message|>", "<|call|>", "<|endofprompt|>"),
    config={
        "bos_token": "<|startoftext|>", "clean_up_tokenization_spaces": False, "eos_token": "<|return|>",
        "model_max_length": 1000000000000000019884624838656, "pad_token": "<|endoftext|>",
        "tokenizer_class": "PreTrainedTokenizerFast",
    },
)  # fmt: skip
_YARN = {"beta_fast": 32.0, "beta_slow": 1.0, "factor": 32.0, "original_max_position_embeddings": 4096,
         "rope_type": "yarn", "truncate": False}  # fmt: skip
_OSS_CONFIG: dict[str, Any] = DECODER | {
    "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "attention_bias": True, "head_dim": 32,
    "eos_token_id": _OSS.id("<|return|>"), "pad_token_id": _OSS.id("<|endoftext|>"), "experts_per_token": 2,
    "hidden_act": "silu", "initial_context_length": 4096, "layer_types": ["sliding_attention", "full_attention"],
    "max_position_embeddings": 131072, "num_experts_per_tok": 2, "num_local_experts": 4, "rms_norm_eps": 1e-05,
    "output_router_logits": False, "rope_scaling": _YARN, "rope_theta": 150000, "sliding_window": 128,
    "swiglu_limit": 7.0, "tie_word_embeddings": False, "vocab_size": _OSS.size, "intermediate_size": 128,
}  # fmt: skip
_OSS_ENDS = [_OSS.id(token) for token in ("<|return|>", "<|endoftext|>", "<|call|>")]

_DEEPSEEK = ByteLevel(
    first=("<|begin▁of▁sentence|>", "<|end▁of▁sentence|>", "<|▁pad▁|>"),
    last=("<|User|>", "<|Assistant|>", "<|EOT|>"),
    plain=("<|User|>", "<|Assistant|>"),
    before="<|begin▁of▁sentence|>",
    config={
        "add_bos_token": True, "add_eos_token": False, "bos_token": "<|begin▁of▁sentence|>",
        "clean_up_tokenization_spaces": False, "eos_token": "<|end▁of▁sentence|>", "legacy": True,
        "model_max_length": 131072, "pad_token": "<|end▁of▁sentence|>", "sp_model_kwargs": {}, "unk_token": None,
        "tokenizer_class": "LlamaTokenizerFast",
    },
)  # fmt: skip
_DEEPSEEK_YARN = {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
                  "original_max_position_embeddings": 4096, "type": "yarn"}  # fmt: skip
_DEEPSEEK_CONFIG: dict[str, Any] = DECODER | {
    "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "attention_bias": False,
    "auto_map": {
        "AutoConfig": "configuration_deepseek.DeepseekV3Config", "AutoModel": "modeling_deepseek.DeepseekV3Model",
        "AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM",
    },
    "bos_token_id": 0, "eos_token_id": 1, "ep_size": 1, "first_k_dense_replace": 1, "hidden_act": "silu",
    "kv_lora_rank": 32, "max_position_embeddings": 163840, "moe_intermediate_size": 128, "moe_layer_freq": 1,
    "n_group": 2, "n_routed_experts": 4, "n_shared_experts": 1, "norm_topk_prob": True, "num_experts_per_tok": 2,
    "num_key_value_heads": 4, "num_nextn_predict_layers": 1, "q_lora_rank": 64, "qk_nope_head_dim": 32,
    "qk_rope_head_dim": 16, "rms_norm_eps": 1e-06, "rope_scaling": _DEEPSEEK_YARN, "rope_theta": 10000,
    "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "tie_word_embeddings": False, "topk_group": 1,
    "topk_method": "noaux_tc", "v_head_dim": 32, "vocab_size": _DEEPSEEK.size,
}  # fmt: skip

_GPT2 = ByteLevel(last=("<|endoftext|>",), is_gpt2=True, has_parts=True, config={"model_max_length": 1024})
_GPT2_CONFIG: dict[str, Any] = {
    "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1, "embd_pdrop": 0.1,
    "bos_token_id": _GPT2.id("<|endoftext|>"), "eos_token_id": _GPT2.id("<|endoftext|>"), "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 128, "n_embd": 64, "n_head": 2, "n_layer": 2,
    "n_positions": 128, "resid_pdrop": 0.1, "summary_activation": None, "summary_first_dropout": 0.1,
    "summary_proj_to_labels": True, "summary_type": "cls_index", "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}}, "vocab_size": _GPT2.size,
}  # fmt: skip


def _bare_gpt2(tensors: weights.Tensors) -> weights.Tensors:
    """As published: without the prefix of the class, and with the masks that older versions stored."""
    found = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items() if name != "lm_head.weight"}
    mask = torch.tril(torch.ones(128, 128))[None, None]
    return found | {f"h.{layer}.attn.bias": mask.clone() for layer in range(2)}


def _code(file: str) -> card.Part:
    """A Python file such as ``auto_map`` names. It says so if it runs."""
    return card.text_file(file, lambda: 'raise RuntimeError("code of a model was run")\n')


REPOSITORIES = (
    Published(
        "mistralai/Mistral-7B-Instruct-v0.3", "apache-2.0", WRITES,
        (_MISTRAL, card.template_field("mistral-v0.3"), card.generation(bos_token_id=1, eos_token_id=2),
         weights.write(_MISTRAL_CONFIG, weights.sharded, **_BFLOAT)),
    ),
    Published(
        "microsoft/Phi-3-mini-4k-instruct", "mit", WRITES,
        (_PHI3, card.template_field("phi-3"), _code("configuration_phi3.py"), _code("modeling_phi3.py"),
         card.generation(bos_token_id=1, eos_token_id=_PHI3_ENDS, pad_token_id=_PHI3.id("<|endoftext|>")),
         weights.write(_PHI3_CONFIG, weights.sharded, **_BFLOAT)),
    ),
    Published(
        "microsoft/Phi-4-mini-instruct", "mit", WRITES,
        (_PHI4, card.template_field("phi-4-mini"), _code("configuration_phi3.py"), _code("modeling_phi3.py"),
         card.generation(bos_token_id=_PHI4_END, eos_token_id=[_PHI4.id("<|end|>"), _PHI4_END], pad_token_id=_PHI4_END),
         weights.write(_PHI4_CONFIG, weights.sharded, **_BFLOAT)),
    ),
    Published(
        "openai/gpt-oss-20b", "apache-2.0", WRITES,
        (_OSS, card.template_file("gpt-oss"),
         card.generation(bos_token_id=_OSS.id("<|startoftext|>"), do_sample=True, eos_token_id=_OSS_ENDS,
                         pad_token_id=_OSS.id("<|endoftext|>")),
         quantized.mxfp4(_OSS_CONFIG, weights.sharded)),
    ),
    Published(
        "deepseek-ai/DeepSeek-V3", "mit", WRITES,
        (_DEEPSEEK, card.template_field("deepseek-v3"), _code("configuration_deepseek.py"),
         _code("modeling_deepseek.py"),
         card.generation(bos_token_id=0, eos_token_id=1, do_sample=True, temperature=0.6, top_p=0.95),
         quantized.fp8(_DEEPSEEK_CONFIG, weights.sharded)),
    ),
    Published(
        "openai-community/gpt2", "mit", CONTINUES,
        (_GPT2, card.generation(bos_token_id=_GPT2.id("<|endoftext|>"), eos_token_id=_GPT2.id("<|endoftext|>")),
         weights.write(_GPT2_CONFIG, weights.twice, change=_bare_gpt2)),
    ),
)  # fmt: skip
