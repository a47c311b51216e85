"""Llama 3.2 and models of its architecture, as plain and as quantized checkpoints."""

from typing import Any

import torch

from tests.published.families.sizes import DECODER
from tests.published.forms import card, quantized, weights
from tests.published.forms.byte_level import ByteLevel
from tests.published.published import WRITES, Published

_RESERVED = tuple(f"<|reserved_special_token_{number}|>" for number in range(8))
_SPECIAL = (
    "<|begin_of_text|>", "<|end_of_text|>", *_RESERVED[:2], "<|finetune_right_pad_id|>", _RESERVED[2],
    "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>", *_RESERVED[3:],
)  # fmt: skip
TOKENIZER = ByteLevel(
    last=_SPECIAL,
    before="<|begin_of_text|>",
    config={
        "bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "clean_up_tokenization_spaces": True,
        "model_input_names": ["input_ids", "attention_mask"], "model_max_length": 131072,
        "tokenizer_class": "PreTrainedTokenizerFast",
    },
)  # fmt: skip
_ENDS = [TOKENIZER.id(token) for token in ("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>")]
_ROPE = {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "original_max_position_embeddings": 8192,
         "rope_type": "llama3"}  # fmt: skip
CONFIG: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", **DECODER, "attention_bias": False,
    "bos_token_id": TOKENIZER.id("<|begin_of_text|>"), "eos_token_id": _ENDS, "head_dim": 32, "hidden_act": "silu",
    "max_position_embeddings": 131072, "mlp_bias": False, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
    "rope_scaling": _ROPE, "rope_theta": 500000.0, "tie_word_embeddings": True, "vocab_size": TOKENIZER.size,
    "transformers_version": "4.45.0.dev0",
}  # fmt: skip
_GENERATION = card.generation(
    bos_token_id=CONFIG["bos_token_id"], do_sample=True, eos_token_id=_ENDS, temperature=0.6, top_p=0.9
)
_TEXT = (TOKENIZER, card.template_field("llama-3.2"), _GENERATION)
#: Llama's own licence, as its front matter names it.
LICENCE = "llama3.2"
_BFLOAT: Any = {"dtype": torch.bfloat16}

_HERMES = ByteLevel(last=(*_SPECIAL, "<|im_start|>", "<|im_end|>"), before="<|begin_of_text|>", config={
    "bos_token": "<|begin_of_text|>", "eos_token": "<|im_end|>", "pad_token": "<|end_of_text|>",
    "tokenizer_class": "PreTrainedTokenizerFast",
})  # fmt: skip
_HERMES_CONFIG = CONFIG | {"eos_token_id": _HERMES.id("<|im_end|>"), "vocab_size": _HERMES.size}

REPOSITORIES = (
    Published(
        "meta-llama/Llama-3.2-1B-Instruct", LICENCE, WRITES, (*_TEXT, weights.write(CONFIG, **_BFLOAT)), is_gated=True
    ),
    Published(
        "NousResearch/Hermes-3-Llama-3.2-3B", "llama3", WRITES,
        (
            _HERMES, card.template_list("hermes-3", "hermes-3-tool_use"),
            card.generation(bos_token_id=CONFIG["bos_token_id"], eos_token_id=_HERMES.id("<|im_end|>")),
            weights.write(_HERMES_CONFIG, weights.sharded, **_BFLOAT),
        ),
    ),
    Published(
        "unsloth/Llama-3.2-1B-Instruct-bnb-4bit", LICENCE, (), (*_TEXT, quantized.bitsandbytes(CONFIG)),
        refused_for="bitsandbytes", loads=False,
    ),
    Published(
        "RedHatAI/Llama-3.2-1B-Instruct-quantized.w8a8", LICENCE, (), (*_TEXT, quantized.compressed_tensors(CONFIG)),
        refused_for="compressed-tensors", loads=False,
    ),
)  # fmt: skip
