"""Generation: a prompt, continued."""

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from lengthwise.kinds import kind
from lengthwise.kinds.kind import Answer, Model, Prompt
from lengthwise.kinds.sampling import Sampled, SamplingParams, alone, trimmed
from lengthwise.models.catalog import GenerateOptions


class Params(SamplingParams):
    pass


class Item(kind.Item):
    text: kind.Text = Field(min_length=1, description="The prompt.")

    def texts(self) -> list[str]:
        return [self.text]


class Generate(Sampled):
    name: ClassVar[str] = "generate"
    params_type: ClassVar[type[kind.Params]] = Params
    item_type: ClassVar[type[kind.Item]] = Item

    def prompts(
        self, model: Model, params: Params, items: Sequence[Item], *, retry: bool = False
    ) -> list[list[Prompt]]:
        options = model.spec.generate or GenerateOptions()
        before = model.tokenizer.special(options.prefix)
        encoded = model.tokenizer.encode([item.text for item in items], framed=not before)
        return alone(model.spec, params, (before + ids for ids in encoded) if before else encoded)

    def output(
        self, model: Model, params: Params, item: Item, prompts: Sequence[Prompt], answers: Sequence[Answer]
    ) -> dict[str, Any] | None:
        text = trimmed(answers[0].text, params.stop)
        return {"text": text, "finish_reason": answers[0].finish_reason} | params.scored(answers)
