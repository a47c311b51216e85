"""Gemma 2 and 3: SentencePiece's BPE without a blank in front, and one model of texts and images."""

from typing import Any

import torch

from tests.published.families.sizes import DECODER
from tests.published.forms import card, weights
from tests.published.forms.sentence_pieces import ByteFallback
from tests.published.published import WRITES, Published

_CONTROL = (
    "<mask>", "<unused0>", "<unused1>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<end_of_image>",
)  # fmt: skip
GEMMA = ByteFallback(
    first=("<pad>", "<eos>", "<bos>", "<unk>"), control=_CONTROL, last=("<image_soft_token>",), before="<bos>",
    is_prefixed=False,
    config={
        "add_bos_token": True, "add_eos_token": False, "bos_token": "<bos>", "clean_up_tokenization_spaces": False,
        "eos_token": "<eos>", "model_max_length": 1000000000000000019884624838656, "pad_token": "<pad>",
        "sp_model_kwargs": {}, "spaces_between_special_tokens": False, "tokenizer_class": "GemmaTokenizer",
        "unk_token": "<unk>", "use_default_system_prompt": False,
    },
)  # fmt: skip
_TURN = GEMMA.id("<end_of_turn>")
_IDS: dict[str, Any] = {"bos_token_id": 2, "pad_token_id": 0}
_COMMON = DECODER | {
    "attention_bias": False, "head_dim": 32, "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 32,
    "rms_norm_eps": 1e-06, "sliding_window": 16, "vocab_size": GEMMA.size,
}  # fmt: skip
GEMMA2_CONFIG: dict[str, Any] = _COMMON | _IDS | {
    "architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "attn_logit_softcapping": 50.0,
    "cache_implementation": "hybrid", "eos_token_id": [1, _TURN], "final_logit_softcapping": 30.0,
    "hidden_act": "gelu_pytorch_tanh", "max_position_embeddings": 8192, "rope_theta": 10000.0,
}  # fmt: skip
GEMMA3_CONFIG: dict[str, Any] = _COMMON | _IDS | {
    "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "attn_logit_softcapping": None,
    "cache_implementation": "hybrid", "eos_token_id": [1, _TURN], "final_logit_softcapping": None,
    "max_position_embeddings": 32768, "rope_local_base_freq": 10000, "rope_scaling": None, "rope_theta": 1000000,
    "sliding_window_pattern": 2,
}  # fmt: skip
_VISION = {
    "hidden_size": 32, "image_size": 32, "intermediate_size": 64, "model_type": "siglip_vision_model",
    "num_attention_heads": 2, "num_hidden_layers": 1, "patch_size": 8, "vision_use_head": False,
}  # fmt: skip
# The text's config leaves out what is as in transformers' class, and the tokens' ids.
_TEXT = {key: value for key, value in _COMMON.items() if key not in ("attention_dropout", "use_cache", "torch_dtype")}
_MULTIMODAL_CONFIG = {
    "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3",
    "boi_token_index": GEMMA.id("<start_of_image>"),
    "eoi_token_index": GEMMA.id("<end_of_image>"), "eos_token_id": [1, _TURN],
    "image_token_index": GEMMA.id("<image_soft_token>"), "initializer_range": 0.02, "mm_tokens_per_image": 4,
    "text_config": _TEXT | {
        "model_type": "gemma3_text", "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 16,
        "sliding_window_pattern": 2, "max_position_embeddings": 131072, "rope_theta": 1000000,
    },
    "torch_dtype": "bfloat16", "vision_config": _VISION,
}  # fmt: skip
_GENERATION = card.generation(
    bos_token_id=2, cache_implementation="hybrid", do_sample=True, eos_token_id=[1, _TURN], pad_token_id=0,
    top_k=64, top_p=0.95,
)  # fmt: skip
# Gemma multiplies embeddings by the root of their width.
SPREAD = weights.Spread(embedding=0.01)
OF_GEMMA: Any = {"spread": SPREAD, "dtype": torch.bfloat16}


def _with_prefix(tensors: weights.Tensors) -> weights.Tensors:
    """The tower of images under the name that it had when this was published."""
    return {name.replace("vision_tower.", "vision_tower.vision_model."): each for name, each in tensors.items()}


REPOSITORIES = (
    Published(
        "google/gemma-2-2b-it", "gemma", WRITES,
        (GEMMA, card.template_field("gemma-2"), card.generation(**_IDS, eos_token_id=[1, _TURN]),
         weights.write(GEMMA2_CONFIG, weights.sharded, **OF_GEMMA)),
        is_gated=True,
    ),
    Published(
        "google/gemma-3-1b-it", "gemma", WRITES,
        (GEMMA, card.template_field("gemma-3"), _GENERATION, weights.write(GEMMA3_CONFIG, **OF_GEMMA)), is_gated=True,
    ),
    Published(
        "google/gemma-3-4b-it", "gemma", WRITES,
        (GEMMA, card.template_field("gemma-3"), _GENERATION,
         card.json_file("preprocessor_config.json", {"image_processor_type": "Gemma3ImageProcessor"}),
         weights.write(_MULTIMODAL_CONFIG, weights.sharded, change=_with_prefix, **OF_GEMMA)),
        is_gated=True,
    ),
)  # fmt: skip
