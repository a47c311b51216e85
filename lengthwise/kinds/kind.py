"""What a kind of job is: its parameters, its items, how an item becomes prompts, and how answers become its output.

A kind knows models' tokenizers and options; it knows nothing of HTTP, tables or engines.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Protocol

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import to_json

from lengthwise.errors import InvalidInput, UnknownName
from lengthwise.models.catalog import ModelSpec
from lengthwise.states import ResultStatus

if TYPE_CHECKING:  # the command line lists kinds where no tokenizers are installed
    from lengthwise.models.tokenizer import ModelTokenizer


#: The context in which a request is read that was checked when it was submitted. What is costly is not checked again.
CHECKED: dict[str, Any] = {"is_checked": True}


def finite(value: Any) -> Any:
    """Refuses infinities and NaN: Python reads 1e999 as infinity, but JSON cannot write one."""
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


#: Postgres cannot store U+0000 in a text. A pattern, since pydantic checks patterns without calling Python.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]


class StrictModel(BaseModel):
    """Refuses unknown fields, and never converts a value from one type to another."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class RequestPart(StrictModel):
    """A part of a request. The error for an unknown field lists the known ones."""

    @model_validator(mode="before")
    @classmethod
    def _has_known_fields(cls, value: Any) -> Any:
        """Pydantic's own error would repeat the field that was sent, and errors never repeat what was sent."""
        if isinstance(value, dict) and not value.keys() <= set(known := cls.known_fields()):
            raise ValueError(unknown_field(known))
        return value

    @classmethod
    def known_fields(cls) -> list[str]:
        """The fields, named as in requests."""
        return list(cls.model_fields)


class JobItem(StrictModel):
    """One unit of work, with the id and metadata that come back with its result.

    A job may have a million items, so validating one without metadata calls no Python. The reader of the request
    checks for unknown fields.
    """

    id: Annotated[Text, Field(min_length=1, max_length=256)] | None = None
    metadata: Annotated[dict[str, Any], AfterValidator(finite)] | None = Field(
        default=None, description="Returned with the result, untouched."
    )

    def texts(self) -> list[str]:
        """The texts of this item that the model reads."""
        raise NotImplementedError


class TextItem(JobItem):
    """An item that is one text."""

    #: It may be blank.
    text: Text

    def texts(self) -> list[str]:
        return [self.text]


class JobParams(RequestPart):
    """The parameters of a whole job."""

    def shared_texts(self) -> list[str]:
        """The texts that the model reads with every item."""
        return []


@dataclass(frozen=True, slots=True)
class Decoding:
    """How the engine writes an answer. ``max_new_tokens`` is 0 if nothing is written."""

    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    stop: tuple[str, ...] = ()
    score: bool = False
    beams: int = 1
    #: None leaves it to the model.
    repetition_penalty: float | None = None


class Prompt(NamedTuple):
    """One sequence for the engine: its token ids, the longest answer, and the ids that the answer must begin with."""

    tokens: list[int]
    max_new_tokens: int
    decoder_prefix: tuple[int, ...] = ()


class ModelAnswer(NamedTuple):
    """The engine's answer to one prompt. ``finish_reason`` is stop, length, label or vector."""

    text: str
    finish_reason: str
    labels: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    #: The number of generated tokens.
    n_tokens: int = 0
    vector: tuple[float, ...] = ()
    #: None if it was not requested, or the engine does not know it.
    log_probability: float | None = None
    #: The tokens that were written; empty if the model serves no kind with a chat template.
    tokens: tuple[int, ...] = ()


class ScoringParams(JobParams):
    """The parameters of kinds whose answers are text, and so have a probability."""

    score: bool = Field(
        default=False,
        description="Gives each output a score: the natural logarithm of the answer's probability. It costs some time.",
    )

    def scored(self, answers: Sequence[ModelAnswer]) -> dict[str, float | None]:
        """What to add to the output of these answers. The score is None if the engine does not know it."""
        if not self.score:
            return {}
        parts = [answer.log_probability for answer in answers]
        known = [part for part in parts if part is not None]
        return {"score": round(sum(known), 4) if len(known) == len(parts) else None}


@dataclass(frozen=True, slots=True)
class KindModel:
    """A model as kinds see it: its entry in ``models.toml``, and its tokenizer."""

    spec: ModelSpec
    tokenizer: "ModelTokenizer"


#: Makes an output, or returns None. It must end by itself, and may raise ``Unanswerable`` and ``Unavailable``.
CostlyOutput = Callable[[], dict[str, Any] | None]


class Kind(Protocol):
    """A kind of job. ``params`` and ``item`` are always of its own ``params_type`` and ``item_type``.

    ``attempt`` is 0 when an item first runs, and grows by one each time that ``output`` could not use the answers.
    """

    name: ClassVar[str]
    params_type: ClassVar[type[JobParams]]
    item_type: ClassVar[type[JobItem]]
    #: Whether items of one job may differ in ``decoding``. If not, it is called once, for any item.
    decodes_per_item: ClassVar[bool]
    #: How often an item runs at most, and the error code of an item that still has no output then.
    max_attempts: ClassVar[int]
    exhausted_error: ClassVar[str]

    def serves(self, spec: ModelSpec, params: Any) -> bool:
        """Whether this model can do a job of these parameters."""
        ...

    def unserved_error(self, specs: Sequence[ModelSpec]) -> InvalidInput:
        """The error for parameters that none of these models serves. It lists what they do serve."""
        ...

    def check(self, spec: ModelSpec, params: Any, item: Any) -> None:
        """Raises ``InvalidInput`` if an item asks for something that this model cannot do."""
        ...

    def decoding(self, spec: ModelSpec, params: Any, item: Any, attempt: int) -> Decoding:
        """How the answers to this item's prompts are written."""
        ...

    def prompts(self, model: KindModel, params: Any, items: Sequence[Any], attempt: int) -> list[list[Prompt]]:
        """The prompts of each item: mostly one; none if its output needs no model.

        Raises ``InvalidInput`` if the model's chat template refuses an item, and ``Unanswerable`` if an item cannot be
        answered, whatever the model says. Neither says which.
        """
        ...

    def output(
        self, model: KindModel, params: Any, item: Any, answers: Sequence[ModelAnswer], attempt: int
    ) -> dict[str, Any] | CostlyOutput | None:
        """The item's output; None if the answers cannot be used, so that the item must run again.

        There is one answer for each prompt that ``prompts`` gave for this item and ``attempt``, in the same order. What
        takes long is left to a function that is returned instead: it is called in a thread, and others' work goes on.
        """
        ...

    def warnings(
        self, model: KindModel, params: Any, item: Any, output: dict[str, Any], answers: Sequence[ModelAnswer]
    ) -> Sequence[str]:
        """Why the output, made of these answers, may be poor although it can be used: codes of
        ``lengthwise.kinds.result_line.WARNINGS``.
        """
        ...

    def succeeded(
        self,
        index: int,
        item: Any,
        output: dict[str, Any],
        n_input: int,
        n_output: int,
        made_by: bytes,
        warnings: Sequence[str] = (),
        /,
    ) -> bytes:
        """The result line of an item with its output. ``made_by`` is the model's revision, as JSON."""
        ...

    def failed(
        self, index: int, item: Any, code: str, status: ResultStatus = ..., limit: int | None = None, /
    ) -> bytes:
        """The result line of an item without output. ``code`` is one of ``lengthwise.kinds.result_line.ERRORS``.

        ``limit``: the tokens that the model reads, if the item has too many.
        """
        ...


def unknown_field(known: Iterable[str]) -> str:
    """The message for an unknown field. It lists the known ones."""
    return f"has an unknown field; known here: {', '.join(known)}"


def unknown(what: str, allowed: Sequence[str], field: str) -> InvalidInput:
    """The error for a name that this installation does not know. It lists the names that it knows."""
    return UnknownName(f"unknown {what}; known here: {', '.join(allowed) or 'none'}", field=field)
