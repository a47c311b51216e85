"""Embedding: a text becomes a vector."""

from collections.abc import Collection, Sequence
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field

from lengthwise.errors import ConfigurationError, InvalidInput
from lengthwise.kinds import kind
from lengthwise.kinds.kind import KindModel, ModelAnswer, Prompt
from lengthwise.kinds.native import NativeKind
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.kind_options import AnswerForm, KindOptions, ModelFacts
from lengthwise.result_field import FieldPath


class EmbedOptions(KindOptions):
    answer_form: ClassVar[AnswerForm] = AnswerForm.VECTOR

    #: What is put before each text. A job chooses one by its name (``query``, ``passage``); the first is the default.
    prefix: dict[str, str] = Field(default={})

    @classmethod
    def of(cls, spec: ModelSpec) -> "EmbedOptions":
        return spec.options_of("embed", cls())

    @classmethod
    def proposed(cls, facts: ModelFacts) -> Self | None:
        return cls(prefix=dict(facts.prompts))


class EmbedParams(kind.JobParams):
    prefix: Annotated[kind.Text, Field(min_length=1, max_length=40)] | None = Field(
        default=None,
        description="The name of the prefix to put before each text, such as query. Without it, the model's first one.",
        examples=["query"],
    )
    truncate: bool = Field(
        default=False,
        description="Cuts texts that are longer than the model reads. The vector is then of the text's beginning, and "
        "the result has the warning truncated. Without it, such texts fail with too_long.",
    )


class EmbedItem(kind.TextItem):
    pass


class EmbedKind(NativeKind):
    name: ClassVar[str] = "embed"
    params_type: ClassVar[type[kind.JobParams]] = EmbedParams
    item_type: ClassVar[type[kind.JobItem]] = EmbedItem
    options_type: ClassVar[type[KindOptions]] = EmbedOptions
    usual_architecture: ClassVar[str | None] = "embedder"
    summary: ClassVar[str] = "makes a vector of a text"
    example: ClassVar[dict[str, Any]] = {"items": ["What a lovely lamp!"]}

    def serves(self, spec: ModelSpec, params: EmbedParams) -> bool:
        return params.prefix is None or params.prefix in EmbedOptions.of(spec).prefix

    def unserved_error(self, specs: Sequence[ModelSpec]) -> InvalidInput:
        return kind.unknown("prefix", [name for spec in specs for name in EmbedOptions.of(spec).prefix], "prefix")

    def prompts(
        self, model: KindModel, params: EmbedParams, items: Sequence[EmbedItem], attempt: int
    ) -> list[list[Prompt]]:
        """Does not clean the texts: their vectors are compared with vectors that other programs made.

        An empty text has the tokens around it, and so a vector too, if its tokenizer puts any there.
        """
        texts = inputs(model.spec, _prefix(model.spec, params), [item.text for item in items])
        encoded = model.tokenizer.encode(texts, framed=True)
        if params.truncate:
            encoded = model.tokenizer.cut(texts, encoded, model.spec.context)
        return [[Prompt(ids, max_new_tokens=0)] if ids else [] for ids in encoded]

    def output(
        self, model: KindModel, params: EmbedParams, item: EmbedItem, answers: Sequence[ModelAnswer], attempt: int
    ) -> dict[str, Any] | None:
        return {"embedding": answers[0].vector if answers else None}

    def output_fields(self, specs: Sequence[ModelSpec]) -> Collection[FieldPath] | None:
        return [("embedding",)]

    def warnings(
        self,
        model: KindModel,
        params: EmbedParams,
        item: EmbedItem,
        output: dict[str, Any],
        answers: Sequence[ModelAnswer],
    ) -> Sequence[str]:
        found = super().warnings(model, params, item, output, answers)
        return [*found, "truncated"] if params.truncate and _is_cut(model, params, item) else found


def inputs(spec: ModelSpec, before: str, texts: Sequence[str]) -> list[str]:
    """What the model reads of each text, in the case that the model was trained on."""
    found = [before + text for text in texts]
    return [text.lower() for text in found] if spec.sentences.do_lower_case else found


def _is_cut(model: KindModel, params: EmbedParams, item: EmbedItem) -> bool:
    [text] = inputs(model.spec, _prefix(model.spec, params), [item.text])
    [ids] = model.tokenizer.encode([text], framed=True)
    return len(ids) > model.spec.context


def _prefix(spec: ModelSpec, params: EmbedParams) -> str:
    prefixes = EmbedOptions.of(spec).prefix
    name = params.prefix or next(iter(prefixes), None)
    if name is not None and name not in prefixes:
        raise ConfigurationError(f"model {spec.name} no longer has the prefix that a job names")
    return prefixes[name] if name else ""
