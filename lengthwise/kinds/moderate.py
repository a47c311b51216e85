"""Moderation: which categories a comment falls into, by a classifier's own probabilities."""

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from lengthwise.kinds import kind
from lengthwise.kinds.kind import Decoding, KindModel, ModelAnswer, Prompt
from lengthwise.kinds.native import NativeKind
from lengthwise.models.catalog import ModelSpec, ModerateOptions
from lengthwise.text.clean import clean


class ModerateParams(kind.JobParams):
    threshold: float | None = Field(default=None, gt=0, lt=1, description="Instead of the model's own.")


class ModerateItem(kind.JobItem):
    text: kind.Text = Field(min_length=1)

    def texts(self) -> list[str]:
        return [self.text]


class ModerateKind(NativeKind, kind.Undemanding):
    name: ClassVar[str] = "moderate"
    params_type: ClassVar[type[kind.JobParams]] = ModerateParams
    item_type: ClassVar[type[kind.JobItem]] = ModerateItem

    def decoding(self, spec: ModelSpec, params: ModerateParams) -> Decoding:
        return Decoding(max_new_tokens=0)

    def prompts(
        self, model: KindModel, params: ModerateParams, items: Sequence[ModerateItem], *, retry: bool = False
    ) -> list[list[Prompt]]:
        texts = [clean(item.text, keep_tags=False) for item in items]
        return [[Prompt(ids, max_new_tokens=0)] for ids in model.tokenizer.encode(texts, framed=True)]

    def output(
        self,
        model: KindModel,
        params: ModerateParams,
        item: ModerateItem,
        prompts: Sequence[Prompt],
        answers: Sequence[ModelAnswer],
    ) -> dict[str, Any] | None:
        options = model.spec.moderate or ModerateOptions()
        threshold = params.threshold or options.threshold
        scores = {
            label: round(score, 4)
            for label, score in zip(answers[0].labels, answers[0].scores, strict=True)
            if label not in options.harmless
        }
        categories = {label: score >= threshold for label, score in scores.items()}
        return {"flagged": any(categories.values()), "categories": categories, "scores": scores}
