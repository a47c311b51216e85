"""Moderation: which categories a comment falls into, by a classifier's own probabilities."""

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from lengthwise.kinds import kind
from lengthwise.kinds.kind import Answer, Decoding, Model, Prompt
from lengthwise.kinds.native import Native
from lengthwise.models.catalog import ModelSpec, ModerateOptions
from lengthwise.text.clean import clean


class Params(kind.Params):
    threshold: float | None = Field(default=None, gt=0, lt=1, description="Instead of the model's own.")


class Item(kind.Item):
    text: kind.Text = Field(min_length=1)

    def texts(self) -> list[str]:
        return [self.text]


class Moderate(Native, kind.Undemanding):
    name: ClassVar[str] = "moderate"
    params_type: ClassVar[type[kind.Params]] = Params
    item_type: ClassVar[type[kind.Item]] = Item

    def decoding(self, spec: ModelSpec, params: Params) -> Decoding:
        return Decoding(max_new_tokens=0)

    def prompts(
        self, model: Model, params: Params, items: Sequence[Item], *, retry: bool = False
    ) -> list[list[Prompt]]:
        texts = [clean(item.text, keep_tags=False) for item in items]
        return [[Prompt(ids, max_new_tokens=0)] for ids in model.tokenizer.encode(texts, framed=True)]

    def output(
        self, model: Model, params: Params, item: Item, prompts: Sequence[Prompt], answers: Sequence[Answer]
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
