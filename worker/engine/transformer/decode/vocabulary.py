"""The token ids that mean something to generation: where to start, where to end, what never to write.

Taken from ``generation_config.json`` and, where that is silent, ``config.json``. Of what else stands there only the
rules of beam search are read, for requests that ask for it: how an answer is written is for each request to say.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from worker.engine.transformer.decode.beam import BeamRules


@dataclass(frozen=True, slots=True)
class Vocabulary:
    start: int
    pad: int
    ends: frozenset[int]
    #: Ids whose score is −∞ at every step: ``suppress_tokens`` and the ``bad_words_ids`` of one token each.
    suppressed: tuple[int, ...]

    @classmethod
    def read(cls, folder: Path, config: Mapping[str, Any]) -> Self:
        merged = _merged(folder, config)
        ends = _ids(merged.get("eos_token_id"))
        pad = next(iter(_ids(merged.get("pad_token_id")) + ends), 0)
        start = next(iter(_ids(merged.get("decoder_start_token_id")) + _ids(merged.get("bos_token_id"))), pad)
        words = [word[0] for word in merged.get("bad_words_ids") or () if len(word) == 1]
        suppressed = {*words, *_ids(merged.get("suppress_tokens"))} - set(ends)
        return cls(start, pad, frozenset(ends), tuple(sorted(suppressed)))


def search_rules(folder: Path, config: Mapping[str, Any]) -> BeamRules:
    """How the model's beams are to be searched, transformers' defaults where it does not say."""
    merged = _merged(folder, config)
    named = {
        "length_penalty": merged.get("length_penalty"),
        "early_stopping": merged.get("early_stopping"),
        "is_renormalized": merged.get("renormalize_logits"),
    }
    return BeamRules(**{name: value for name, value in named.items() if value is not None})


def _merged(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    path = folder / "generation_config.json"
    own = json.loads(path.read_bytes()) if path.is_file() else {}
    return {**config, **{name: value for name, value in own.items() if value is not None}}


def _ids(value: int | list[int] | None) -> list[int]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
