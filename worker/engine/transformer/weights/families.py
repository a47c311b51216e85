"""Which models run on our own attention and caches; all others run as transformers has them (``docs/models.md``)."""

from collections.abc import Mapping
from typing import Any

from worker.engine.protocol import Architecture

_ENCODERS = frozenset({"bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta"})

#: Values of ``model_type`` whose modules are known to hand attention its plan.
FITTING = {
    Architecture.ENCODER_DECODER: frozenset({"bart", "m2m_100", "marian", "mbart", "mt5", "t5"}),
    Architecture.DECODER_ONLY: frozenset(
        {
            *("gemma", "gemma2", "gemma3_text", "granite", "llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3"),
            *("smollm3", "starcoder2"),
        }
    ),
    Architecture.CLASSIFIER: _ENCODERS,
    Architecture.EMBEDDER: _ENCODERS,
}

#: Rotary embeddings whose frequencies follow from the longest row: packed, a row's answer would be its neighbours'.
_SHIFTING = frozenset({"dynamic", "longrope"})


def fits(config: Mapping[str, Any], architecture: Architecture) -> bool:
    """Whether a model of this ``config.json`` runs on our own attention."""
    is_known = config.get("model_type") in FITTING[architecture]
    return is_known and _rope_types(config).isdisjoint(_SHIFTING)


def _rope_types(config: Mapping[str, Any]) -> set[str]:
    """The types of rotary embedding, under both of their names, of all layers or of each kind of layer."""
    tables = [config.get(name) or {} for name in ("rope_scaling", "rope_parameters")]
    tables += [inner for table in tables for inner in table.values() if isinstance(inner, dict)]
    return {str(table[name]) for table in tables for name in ("rope_type", "type") if name in table}
