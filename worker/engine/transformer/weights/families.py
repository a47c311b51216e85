"""Which model families run on our own attention and caches (``docs/models.md``).

All others run on transformers' own attention, and generate by ``decode.fallback``.
"""

from collections.abc import Mapping
from typing import Any

from worker.engine.protocol import Architecture

_ENCODERS = frozenset({"bert", "camembert", "distilbert", "electra", "roberta", "xlm-roberta"})

#: For each architecture, the values of ``model_type`` whose modules are known to pass attention its plan.
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

#: Rotary embeddings whose frequencies depend on the longest row: in a batch, a row's answer would depend on the others.
_SHIFTING = frozenset({"dynamic", "longrope"})


def fits(config: Mapping[str, Any], architecture: Architecture) -> bool:
    """Whether a model with this ``config.json`` runs on our own attention."""
    is_known = config.get("model_type") in FITTING[architecture]
    return is_known and _rope_types(config).isdisjoint(_SHIFTING)


def _rope_types(config: Mapping[str, Any]) -> set[str]:
    """The model's types of rotary embedding. Configurations name them in two ways, for all layers or for each kind."""
    tables = [config.get(name) or {} for name in ("rope_scaling", "rope_parameters")]
    tables += [inner for table in tables for inner in table.values() if isinstance(inner, dict)]
    return {str(table[name]) for table in tables for name in ("rope_type", "type") if name in table}
