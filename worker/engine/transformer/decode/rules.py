"""Which ids a model may write, as its own files say, given what it has read and written.

The rules are those of transformers' ``generate``. ``Vocabulary`` has those that depend on nothing. Knows no tensors.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from lengthwise.models import model_file, model_shapes

#: Settings that change greedy answers, each with the values that change nothing. No engine applies those of the second
#: table.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "repetition_penalty": (1,),
    "no_repeat_ngram_size": (0,),
    "begin_suppress_tokens": ([], [-1]),
    "forced_bos_token_id": (-1,),
    "min_length": (0,),
    "min_new_tokens": (0,),
}
_UNAPPLIED: dict[str, tuple[Any, ...]] = {
    "encoder_repetition_penalty": (1,),
    "encoder_no_repeat_ngram_size": (0,),
    "exponential_decay_length_penalty": (),
    "guidance_scale": (1,),
    "sequence_bias": ({}, []),
    "stop_strings": ([], ""),
}
#: Settings for which an engine looks at the ids of an answer while it writes.
OF_HISTORY = frozenset(_NEUTRAL)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one model. What is read and written are the ids that transformers calls ``input_ids``.

    Of a decoder-only model these are the prompt and the answer, of an encoder–decoder the start token and the answer.
    """

    #: The end tokens.
    ends: frozenset[int] = frozenset()
    #: The score of an id that was read or written is divided by this, or multiplied by it if it is negative.
    repetition_penalty: float = 1.0
    #: No run of as many ids may come twice. 0 allows all.
    no_repeat_ngram_size: int = 0
    #: The ids that must not follow certain runs: ``bad_words_ids`` of several tokens.
    bad_words: Mapping[tuple[int, ...], frozenset[int]] = field(default_factory=dict)
    #: Ids that must not come first.
    begin_suppressed: frozenset[int] = frozenset()
    #: Until as many ids are read and written, or written, the answer does not end.
    min_length: int = 0
    min_new_tokens: int = 0
    #: The id that comes second, if a single one was read.
    forced_start: int | None = None
    #: Whether the last token before the limit is the end token, whatever the model finds likely.
    forces_end: bool = False

    @classmethod
    def read(cls, folder: Path, config: Mapping[str, Any], ends: Collection[int]) -> Self:
        """The rules of the model in ``folder``. ``config`` is its ``config.json`` as it stands, without defaults."""
        found = _stated(folder, config)
        start = found.get("forced_bos_token_id")
        return cls(
            ends=frozenset(ends),
            repetition_penalty=float(found.get("repetition_penalty") or 1),
            no_repeat_ngram_size=found.get("no_repeat_ngram_size") or 0,
            bad_words=_by_beginning(found.get("bad_words_ids") or ()),
            begin_suppressed=frozenset(each for each in found.get("begin_suppress_tokens") or () if each >= 0),
            min_length=found.get("min_length") or 0,
            min_new_tokens=found.get("min_new_tokens") or 0,
            forced_start=start if start is not None and start >= 0 else None,
            forces_end=not set(ends).isdisjoint(_forced_ends(found)),
        )

    @property
    def needs_history(self) -> bool:
        """Whether any rule but the penalty asks for what was read and written."""
        counts = self.no_repeat_ngram_size, self.min_length, self.min_new_tokens
        return any(counts) or bool(self.bad_words or self.begin_suppressed) or self.forced_start is not None


def unapplied(folder: Path, config: Mapping[str, Any], ends: Collection[int], others: Iterable[str] = ()) -> list[str]:
    """The settings of the model that change greedy answers and are not applied: by no engine, or as ``others`` says."""
    found = _stated(folder, config)
    neutral = _UNAPPLIED | {name: _NEUTRAL[name] for name in others}
    names = [name for name, values in neutral.items() if found.get(name) not in (None, *values)]
    if (forced := _forced_ends(found)) and set(ends).isdisjoint(forced):
        names.append("forced_eos_token_id")
    return sorted(names)


def _stated(folder: Path, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The file that transformers reads these from: ``config.json`` only where there is no other."""
    has_own = model_file.exists(folder, model_shapes.GENERATION)
    return model_shapes.read_generation(folder) if has_own else config


def _forced_ends(found: Mapping[str, Any]) -> set[int]:
    forced = found.get("forced_eos_token_id")
    return {each for each in (forced if isinstance(forced, list) else [forced]) if each is not None and each >= 0}


def _by_beginning(words: Iterable[list[int]]) -> dict[tuple[int, ...], frozenset[int]]:
    """The last ids of words by the ids before them. Words of one token are suppressed by ``Vocabulary``."""
    found: dict[tuple[int, ...], set[int]] = {}
    for word in words:
        if len(word) > 1 and min(word) >= 0:
            found.setdefault(tuple(word[:-1]), set()).add(word[-1])
    return {beginning: frozenset(ends) for beginning, ends in found.items()}
