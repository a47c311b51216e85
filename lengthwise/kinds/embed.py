"""Embedding: a text becomes a vector."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from lengthwise.errors import ConfigurationError, InvalidInput
from lengthwise.kinds import kind
from lengthwise.kinds.kind import Decoding, KindModel, ModelAnswer, Prompt
from lengthwise.kinds.native import NativeKind
from lengthwise.models.catalog import EmbedOptions, ModelSpec


class EmbedParams(kind.JobParams):
    prefix: Annotated[kind.Text, Field(min_length=1, max_length=40)] | None = Field(
        default=None,
        description="Which of the model's prefixes stands before each text, such as query; the first without one.",
        examples=["query"],
    )


class EmbedItem(kind.JobItem):
    text: kind.Text = Field(min_length=1)

    def texts(self) -> list[str]:
        return [self.text]


class EmbedKind(NativeKind, kind.Undemanding):
    name: ClassVar[str] = "embed"
    params_type: ClassVar[type[kind.JobParams]] = EmbedParams
    item_type: ClassVar[type[kind.JobItem]] = EmbedItem

    def serves(self, spec: ModelSpec, params: EmbedParams) -> bool:
        return params.prefix is None or params.prefix in _options(spec).prefix

    def unserved_error(self, specs: Sequence[ModelSpec]) -> InvalidInput:
        return kind.unknown("prefix", [name for spec in specs for name in _options(spec).prefix], "prefix")

    def decoding(self, spec: ModelSpec, params: EmbedParams) -> Decoding:
        return Decoding(max_new_tokens=0)

    def prompts(
        self, model: KindModel, params: EmbedParams, items: Sequence[EmbedItem], *, retry: bool = False
    ) -> list[list[Prompt]]:
        """Texts as they are: their vectors are compared with those of texts that were read elsewhere."""
        before = _prefix(model.spec, params)
        encoded = model.tokenizer.encode([before + item.text for item in items], framed=True)
        return [[Prompt(ids, max_new_tokens=0)] for ids in encoded]

    def output(
        self,
        model: KindModel,
        params: EmbedParams,
        item: EmbedItem,
        prompts: Sequence[Prompt],
        answers: Sequence[ModelAnswer],
    ) -> dict[str, Any] | None:
        return {"embedding": answers[0].vector}


def _prefix(spec: ModelSpec, params: EmbedParams) -> str:
    prefixes = _options(spec).prefix
    name = params.prefix or next(iter(prefixes), None)
    if name is not None and name not in prefixes:
        raise ConfigurationError(f"model {spec.name} has no longer the prefix that a job names")
    return prefixes[name] if name else ""


def _options(spec: ModelSpec) -> EmbedOptions:
    return spec.embed or EmbedOptions()
