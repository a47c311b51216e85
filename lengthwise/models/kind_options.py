"""The table of one kind of job under a model: what a kind needs of a model, whatever the kind is.

Knows neither where models are nor which kinds there are.
"""

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple, Self

from pydantic import BaseModel, ConfigDict

from lengthwise.models.architecture import Architecture
from lengthwise.models.labels import Labels


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AnswerForm(StrEnum):
    """What a model gives for a prompt."""

    #: Tokens that it writes.
    TEXT = "text"
    #: A probability for each of its labels.
    LABELS = "labels"
    #: One vector.
    VECTOR = "vector"


#: The architectures that give each form of answer.
_GIVING = {
    AnswerForm.TEXT: frozenset({Architecture.ENCODER_DECODER, Architecture.DECODER_ONLY}),
    AnswerForm.LABELS: frozenset({Architecture.CLASSIFIER}),
    AnswerForm.VECTOR: frozenset({Architecture.EMBEDDER}),
}


class LabelObjection(NamedTuple):
    """Why a kind cannot use a classifier's labels, and the line for the kind's table in ``models.toml`` that mends it.

    ``line`` is None if no setting mends it.
    """

    code: str
    reason: str
    line: str | None


class ModelFacts(NamedTuple):
    """What a model's files say, from which the table of a kind can be proposed."""

    #: The last part of its hub id, or its folder's name.
    name: str
    config: Mapping[str, Any]
    #: Its vocabulary.
    tokens: Collection[str]
    #: None if it is no classifier.
    labels: Labels | None
    has_chat_template: bool
    #: What an embedder's files say to put before texts, by name.
    prompts: Mapping[str, str]
    #: The labels of a classifier that say that nothing is wrong, if the operator named them.
    harmless: tuple[str, ...] = ()


class KindOptions(Table):
    """The table of one kind of job under a model: how this model is spoken to for it.

    Each kind has a subclass of its own, which declares what a model needs to serve it. Engines and checks read that
    here, and so need to know no kind by its name.
    """

    answer_form: ClassVar[AnswerForm] = AnswerForm.TEXT
    #: Whether jobs may ask for sampling and stop strings.
    may_sample: ClassVar[bool] = False
    #: Whether the model's folder must have a chat template.
    needs_chat_template: ClassVar[bool] = False
    #: The architectures that can serve it; None: all that give its form of answer.
    architectures: ClassVar[frozenset[Architecture] | None] = None

    @classmethod
    def needed(cls) -> frozenset[Architecture]:
        """The architectures that can serve it."""
        return _GIVING[cls.answer_form] if cls.architectures is None else cls.architectures

    @classmethod
    def proposed(cls, facts: ModelFacts) -> Self | None:
        """The table for a model that ``models.toml`` does not name; None if its files do not suffice for one."""
        return None if cls.needs_chat_template and not facts.has_chat_template else cls()

    def objection(self, labels: Labels) -> LabelObjection | None:
        """Why the kind cannot use a classifier with these labels, if it cannot."""
        return None

    @property
    def template_name(self) -> str:
        """The chat template that the kind needs, if it needs one."""
        return "default"

    @property
    def ignored_labels(self) -> Sequence[str]:
        """The labels whose scores the kind does not show."""
        return ()

    def language_pairs(self) -> Sequence[tuple[str, str]]:
        """The (source, target) languages between which the model translates, if that is what the kind does."""
        return ()
