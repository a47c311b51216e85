"""The part for text of a model that also reads images or sound (Gemma 3, Qwen3.5, Mistral Small, LLaVA).

Such a model's ``config.json`` has a table ``text_config``, and its class is a ``…ForConditionalGeneration`` without an
encoder for text. Served is the text part alone, as the decoder-only model that it is.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

_Weight = TypeVar("_Weight")

#: transformers' class for each ``model_type`` of a ``text_config``. Each gives for a text what the whole model gives.
_CLASSES = {
    "gemma3_text": "Gemma3ForCausalLM",
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "qwen3_5_moe_text": "Qwen3_5MoeForCausalLM",
    "qwen3_5_text": "Qwen3_5ForCausalLM",
}
#: What published files leave out, because transformers has it as a default.
_DEFAULTS = {"gemma3_text": {"max_position_embeddings": 131_072}}
#: What the model's own table says of the text part. It holds where ``text_config`` says something else.
_SHARED = (
    *("bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings"),
    *("auto_map", "dtype", "torch_dtype", "quantization_config"),
)

#: The names of the text part's weights in such a model, and what they begin with in the text model.
_PREFIXES = {
    "language_model.model.": "model.",
    "language_model.lm_head.": "lm_head.",
    "model.language_model.": "model.",
}
#: How the names of other parts begin: those for images and sound, and the heads that guess several tokens ahead.
_OTHERS = (
    "vision_tower.",
    "visual.",
    "vision_model.",
    "audio_tower.",
    "image_newline",
    "multi_modal_projector.",
    "mtp.",
)


def config_of(config: dict[str, Any]) -> dict[str, Any]:
    """The text part's ``config.json``; ``config`` itself if it is of a model without such a part, or of another one."""
    inner, names = config.get("text_config"), config.get("architectures")
    name = str(names[0]) if isinstance(names, list) and names else ""
    if not isinstance(inner, dict) or not name.endswith("ForConditionalGeneration") or config.get("is_encoder_decoder"):
        return config
    family = str(inner.get("model_type"))
    if family not in _CLASSES:
        return config
    shared = {key: config[key] for key in _SHARED if config.get(key) is not None}
    return _DEFAULTS.get(family, {}) | inner | shared | {"architectures": [_CLASSES[family]]}


def weights_of(state: Mapping[str, _Weight]) -> dict[str, _Weight]:
    """The text part's weights under the names of the text model; all of them if they are of no larger model."""
    if not any(name.startswith(tuple(_PREFIXES)) for name in state):
        return dict(state)
    return {_name(name): each for name, each in state.items() if not name.removeprefix("model.").startswith(_OTHERS)}


def _name(name: str) -> str:
    for before, after in _PREFIXES.items():
        if name.startswith(before):
            return after + name.removeprefix(before)
    return name
