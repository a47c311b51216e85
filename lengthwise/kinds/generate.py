"""Generation: a prompt, continued."""

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from lengthwise.kinds import kind
from lengthwise.kinds.kind import KindModel, ModelAnswer, Prompt
from lengthwise.kinds.sampling import SampledKind, SamplingParams, single_prompts, trimmed
from lengthwise.models.catalog import GenerateOptions


class GenerateParams(SamplingParams):
    pass


class GenerateItem(kind.JobItem):
    text: kind.Text = Field(min_length=1, description="The prompt.")

    def texts(self) -> list[str]:
        return [self.text]


class GenerateKind(SampledKind):
    name: ClassVar[str] = "generate"
    params_type: ClassVar[type[kind.JobParams]] = GenerateParams
    item_type: ClassVar[type[kind.JobItem]] = GenerateItem

    def prompts(
        self, model: KindModel, params: GenerateParams, items: Sequence[GenerateItem], *, retry: bool = False
    ) -> list[list[Prompt]]:
        options = model.spec.generate or GenerateOptions()
        before = model.tokenizer.special(options.prefix)
        encoded = model.tokenizer.encode([item.text for item in items], framed=not before)
        return single_prompts(model.spec, params, (before + ids for ids in encoded) if before else encoded)

    def output(
        self,
        model: KindModel,
        params: GenerateParams,
        item: GenerateItem,
        prompts: Sequence[Prompt],
        answers: Sequence[ModelAnswer],
    ) -> dict[str, Any] | None:
        text = trimmed(answers[0].text, params.stop)
        return {"text": text, "finish_reason": answers[0].finish_reason} | params.scored(answers)
