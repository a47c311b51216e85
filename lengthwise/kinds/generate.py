"""Generation: a prompt, continued."""

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Self

from pydantic import Field

from lengthwise.kinds import kind
from lengthwise.kinds.kind import KindModel, ModelAnswer, Prompt
from lengthwise.kinds.sampling import SampledKind, SamplingParams, single_prompts, trimmed
from lengthwise.kinds.translate import TranslateOptions
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.kind_options import KindOptions, ModelFacts
from lengthwise.result_field import FieldPath


class GenerateOptions(KindOptions):
    may_sample: ClassVar[bool] = True

    #: Special tokens before the prompt.
    prefix: str = ""

    @classmethod
    def of(cls, spec: ModelSpec) -> "GenerateOptions":
        return spec.options_of("generate", cls())

    @classmethod
    def proposed(cls, facts: ModelFacts) -> Self | None:
        return None if TranslateOptions.proposed(facts) else cls()  # one that translates continues no prompt


class GenerateParams(SamplingParams):
    pass


class GenerateItem(kind.TextItem):
    text: kind.Text = Field(description="The prompt.")


class GenerateKind(SampledKind):
    name: ClassVar[str] = "generate"
    params_type: ClassVar[type[kind.JobParams]] = GenerateParams
    item_type: ClassVar[type[kind.JobItem]] = GenerateItem
    options_type: ClassVar[type[KindOptions]] = GenerateOptions
    usual_architecture: ClassVar[str | None] = "decoder-only"
    summary: ClassVar[str] = "continues a prompt"
    example: ClassVar[dict[str, Any]] = {"max_new_tokens": 64, "stop": ["\n"], "items": ["Once upon a time"]}

    def prompts(
        self, model: KindModel, params: GenerateParams, items: Sequence[GenerateItem], attempt: int
    ) -> list[list[Prompt]]:
        """An empty text has no prompt, and its answer is empty."""
        before = model.tokenizer.special(GenerateOptions.of(model.spec).prefix)
        encoded = model.tokenizer.encode([item.text for item in items], framed=not before)
        asked = (before + ids if item.text else [] for item, ids in zip(items, encoded, strict=True))
        return single_prompts(model.spec, params, asked)

    def output(
        self, model: KindModel, params: GenerateParams, item: GenerateItem, answers: Sequence[ModelAnswer], attempt: int
    ) -> dict[str, Any] | None:
        if not answers:
            return {"text": "", "finish_reason": "stop"} | params.scored(answers)
        text = trimmed(answers[0].text, params.stop)
        output = {"text": text, "finish_reason": answers[0].finish_reason}
        return output | params.scored(answers) if params.score else output

    def output_fields(self, specs: Sequence[ModelSpec]) -> Collection[FieldPath] | None:
        return [("text",), ("finish_reason",), ("score",)]
