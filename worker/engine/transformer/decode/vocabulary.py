"""The token ids that control generation: the start, the ends, the padding, and the ids that must never be written.

They come from ``generation_config.json``, or from ``config.json`` where that lacks them. The rules of beam search are
read here too; ``Rules`` reads those that depend on the answer. Sampling and limits come with each request.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from lengthwise.models import model_shapes
from worker.engine.transformer.decode.beam import BeamRules


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The control ids of one model."""

    start: int
    pad: int
    ends: frozenset[int]
    #: Ids that are never written: ``suppress_tokens``, and those ``bad_words_ids`` that are a single token.
    suppressed: tuple[int, ...]

    @classmethod
    def read(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        """Reads the ids from the model's folder and its ``config.json``, which is ``config``."""
        merged = _merged(folder, config)
        ends = _ids(merged.get("eos_token_id"))
        pad = next(iter(_ids(merged.get("pad_token_id")) + ends), 0)
        start = next(iter(_ids(merged.get("decoder_start_token_id")) + _ids(merged.get("bos_token_id"))), pad)
        # As in transformers, an end token among the words is left out, and one among the others is never written.
        words = {word[0] for word in merged.get("bad_words_ids") or () if len(word) == 1 and word[0] >= 0} - set(ends)
        suppressed = words | set(_ids(merged.get("suppress_tokens")))
        return cls(start, pad, frozenset(ends), tuple(sorted(suppressed)))


def search_rules(folder: Path, config: Mapping[str, Any]) -> BeamRules:
    """The model's rules of beam search, with transformers' defaults for those that it does not set."""
    merged = _merged(folder, config)
    named = {
        "length_penalty": merged.get("length_penalty"),
        "early_stopping": merged.get("early_stopping"),
        "is_renormalized": merged.get("renormalize_logits"),
    }
    return BeamRules(**{name: value for name, value in named.items() if value is not None})


def _merged(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    own = model_shapes.read_generation(folder)
    return {**config, **{name: value for name, value in own.items() if value is not None}}


def _ids(value: int | list[int] | None) -> list[int]:
    if value is None:
        return []
    return [each for each in (value if isinstance(value, list) else [value]) if each >= 0]
