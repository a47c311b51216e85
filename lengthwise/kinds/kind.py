"""What a kind of job is: its parameters, its items, how an item becomes prompts, and how completions become its output.

A kind knows models' tokenizers and options; it knows nothing of HTTP, tables or engines.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import to_json

from lengthwise.errors import InvalidInput, UnknownName
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.tokenizer import ModelTokenizer
from lengthwise.states import ResultStatus


def finite(value: Any) -> Any:
    """Python's JSON has infinities (1e999 is one), the callers' has none."""
    written = to_json(value)
    if (b"Infinity" in written or b"NaN" in written) and not _is_finite(value):
        raise ValueError("must not contain a number that is out of range")
    return value


def _is_finite(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


#: Postgres' texts have no U+0000. A pattern, since pydantic checks that without a call into Python.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]


class StrictModel(BaseModel):
    """Unknown fields are mistakes, and values are never quietly converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RequestPart(StrictModel):
    """A part of a request that says itself which fields it has."""

    @model_validator(mode="before")
    @classmethod
    def _has_known_fields(cls, value: Any) -> Any:
        """Pydantic's own complaint would name the field that was sent; this one names those there are."""
        if isinstance(value, dict) and not value.keys() <= set(known := cls.known_fields()):
            raise ValueError(unknown_field(known))
        return value

    @classmethod
    def known_fields(cls) -> list[str]:
        """As requests name them."""
        return list(cls.model_fields)


class JobItem(StrictModel):
    """One text and what the caller wants back beside its result.

    A job has a million of them: nothing here calls into Python for one without metadata. That the fields are known
    ones is said by who reads them.
    """

    id: Annotated[Text, Field(min_length=1, max_length=256)] | None = None
    metadata: Annotated[dict[str, Any], AfterValidator(finite)] | None = Field(
        default=None, description="Returned with the result, untouched."
    )

    def texts(self) -> list[str]:
        """What of this item the model reads."""
        raise NotImplementedError


class JobParams(RequestPart):
    """What holds for a whole job."""

    def shared_texts(self) -> list[str]:
        """What the model reads with every item."""
        return []


@dataclass(frozen=True, slots=True)
class Decoding:
    """How an answer is written."""

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    stop: tuple[str, ...] = ()
    score: bool = False
    beams: int = 1


class Prompt(NamedTuple):
    """One sequence for the engine; ``is_careful`` if made the careful way, after a first answer was of no use."""

    tokens: list[int]
    max_new_tokens: int
    decoder_prefix: tuple[int, ...] = ()
    is_careful: bool = False


class ModelAnswer(NamedTuple):
    """What the engine made of one prompt. ``finish_reason`` is stop, length, label or vector."""

    text: str
    finish_reason: str
    labels: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    #: Tokens that were generated.
    n_tokens: int = 0
    vector: tuple[float, ...] = ()
    #: Where it was asked for and the engine knows it.
    log_probability: float | None = None


class ScoringParams(JobParams):
    """Of kinds whose answers are written."""

    score: bool = Field(
        default=False,
        description="Gives each output a score: the natural logarithm of the answer's probability. It costs some time.",
    )

    def scored(self, answers: Sequence[ModelAnswer]) -> dict[str, float | None]:
        """What to add to an output of these answers; ``None`` where the engine does not know it."""
        if not self.score:
            return {}
        parts = [answer.log_probability for answer in answers]
        known = [part for part in parts if part is not None]
        return {"score": round(sum(known), 4) if len(known) == len(parts) else None}


@dataclass(frozen=True, slots=True)
class KindModel:
    """A model as kinds see it."""

    spec: ModelSpec
    tokenizer: ModelTokenizer


class Kind(Protocol):
    """``P`` and ``I`` are this kind's own subclasses of ``JobParams`` and ``JobItem``."""

    name: ClassVar[str]
    params_type: ClassVar[type[JobParams]]
    item_type: ClassVar[type[JobItem]]
    #: Whether each item says how it is decoded (``decoding_of``), rather than the job for all (``decoding``).
    decodes_per_item: ClassVar[bool]
    #: How often an item is asked in all where its answers are of no use, and the error it ends with then.
    max_attempts: ClassVar[int]
    exhausted_error: ClassVar[str]

    def serves(self, spec: ModelSpec, params: Any) -> bool:
        """Whether this model can do a job of these parameters."""
        ...

    def unserved_error(self, specs: Sequence[ModelSpec]) -> InvalidInput:
        """The error for parameters that none of these models serves; it lists what they do serve."""
        ...

    def check(self, spec: ModelSpec, params: Any, item: Any) -> None:
        """Raises ``InvalidInput`` where an item asks for what this model cannot do."""
        ...

    def decoding(self, spec: ModelSpec, params: Any) -> Decoding: ...

    def decoding_of(self, spec: ModelSpec, params: Any, item: Any, n_asked: int) -> Decoding:
        """One item's own, where ``decodes_per_item``; it was asked ``n_asked`` times before, to no use."""
        ...

    def prompts(
        self, model: KindModel, params: Any, items: Sequence[Any], *, retry: bool = False
    ) -> list[list[Prompt]]:
        """For each item its prompts, mostly one; ``retry`` asks for the careful way after ``output`` gave None."""
        ...

    def output(
        self, model: KindModel, params: Any, item: Any, prompts: Sequence[Prompt], answers: Sequence[ModelAnswer]
    ) -> dict[str, Any] | None:
        """The item's output, or None if the answers cannot be used and the careful way is to be tried."""
        ...

    def succeeded(
        self, index: int, item: Any, output: dict[str, Any], n_input: int, n_output: int, made_by: bytes, /
    ) -> bytes:
        """The line that the caller reads of an item with its output; ``made_by`` is the model's revision as JSON."""
        ...

    def failed(self, index: int, item: Any, code: str, status: ResultStatus = ..., /) -> bytes:
        """The line of an item without output; ``code`` is one of ``lengthwise.kinds.result_line.ERRORS``."""
        ...


def unknown_field(known: Iterable[str]) -> str:
    """The message for a field that is not there; it lists those that are."""
    return f"has an unknown field; known here: {', '.join(known)}"


class Undemanding:
    """For kinds that every model which is listed for them can do, whatever the job and its items ask."""

    def serves(self, spec: ModelSpec, params: Any) -> bool:
        return True

    def unserved_error(self, specs: Sequence[ModelSpec]) -> InvalidInput:
        return unknown("model for this kind", [], "kind")

    def check(self, spec: ModelSpec, params: Any, item: Any) -> None:
        """Every item will do."""


def unknown(what: str, allowed: Sequence[str], field: str) -> InvalidInput:
    """The error for a name this installation lacks; it lists the ones there are."""
    return UnknownName(f"unknown {what}; known here: {', '.join(allowed) or 'none'}", field=field)
