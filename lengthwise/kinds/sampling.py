"""The decoding parameters that chat and generate share."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field

from lengthwise.kinds import kind
from lengthwise.kinds.kind import Decoding, Prompt, Text
from lengthwise.kinds.native import NativeKind
from lengthwise.models.catalog import ModelSpec

#: 1 changes nothing; more makes repetitions less likely. Near 0, scores would leave the range of their type.
RepetitionPenalty = Annotated[float, Field(ge=0.01, le=2)]


class SamplingParams(kind.ScoringParams):
    max_new_tokens: int | None = Field(default=None, ge=1, description="At most the model's own limit.")
    temperature: float = Field(default=0.0, ge=0, le=2, description="0 always takes the likeliest token.")
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0, lt=2**31, description="0 does not cut.")
    seed: int = Field(default=0, ge=0, lt=2**31, description="The same seed gives the same answers again.")
    repetition_penalty: RepetitionPenalty | None = Field(
        default=None,
        description="Divides the scores of tokens that came before, in the prompt or the answer. 1 changes nothing; "
        "without it, the model's own (generation_config.json).",
    )
    stop: list[Annotated[Text, Field(min_length=1, max_length=64)]] = Field(default=[], max_length=4)


class SampledKind(NativeKind):
    """A kind whose answers are sampled as ``SamplingParams`` say."""

    def decoding(self, spec: ModelSpec, params: Any, item: Any, attempt: int) -> Decoding:
        return Decoding(
            max_new_tokens=_limit(spec, params),
            temperature=params.temperature,
            top_p=params.top_p,
            top_k=params.top_k,
            seed=params.seed,
            stop=tuple(params.stop),
            score=params.score,
            repetition_penalty=params.repetition_penalty,
        )


def single_prompts(spec: ModelSpec, params: SamplingParams, sequences: Iterable[list[int]]) -> list[list[Prompt]]:
    """One prompt for each sequence, none for one without tokens. The answer may fill what is left of the context."""
    max_new_tokens, context = _limit(spec, params), spec.context
    return [[Prompt(ids, min(max_new_tokens, context - len(ids)))] if ids else [] for ids in sequences]


def _limit(spec: ModelSpec, params: SamplingParams) -> int:
    return min(params.max_new_tokens or spec.max_new_tokens, spec.max_new_tokens)


def trimmed(text: str, stop: tuple[str, ...] | list[str]) -> str:
    """The answer up to the first stop string; engines stop after the token that completed it."""
    if not stop:
        return text
    ends = [text.find(string) for string in stop if string in text]
    return text[: min(ends)] if ends else text
