"""Chat: messages, rendered by the model's own template, answered."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from lengthwise.kinds import kind
from lengthwise.kinds.kind import Answer, Model, Prompt
from lengthwise.kinds.sampling import Sampled, SamplingParams, alone, trimmed
from lengthwise.models import template


class Message(kind.Wire):
    role: Literal["system", "user", "assistant"]
    content: kind.Text


class Params(SamplingParams):
    system: Annotated[kind.Text, Field(max_length=32_000)] | None = Field(
        default=None, description="A system message before every item's own messages."
    )

    def shared_texts(self) -> list[str]:
        return [self.system] if self.system else []


class Item(kind.Item):
    text: Annotated[kind.Text, Field(min_length=1)] | None = Field(default=None, description="One user message.")
    messages: list[Message] | None = Field(default=None, min_length=1, max_length=256)

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.text is None) == (self.messages is None):
            raise ValueError("has either text or messages")
        return self

    def texts(self) -> list[str]:
        return [message.content for message in self.messages or ()] or [self.text or ""]


class Chat(Sampled):
    name: ClassVar[str] = "chat"
    params_type: ClassVar[type[kind.Params]] = Params
    item_type: ClassVar[type[kind.Item]] = Item

    def prompts(
        self, model: Model, params: Params, items: Sequence[Item], *, retry: bool = False
    ) -> list[list[Prompt]]:
        spoken = template.load(model.spec.folder)
        encoded = (template.encode(spoken, model.tokenizer, _messages(params, item)) for item in items)
        return alone(model.spec, params, encoded)

    def output(
        self, model: Model, params: Params, item: Item, prompts: Sequence[Prompt], answers: Sequence[Answer]
    ) -> dict[str, Any] | None:
        message = {"role": "assistant", "content": trimmed(answers[0].text, params.stop)}
        return {"message": message, "finish_reason": answers[0].finish_reason} | params.scored(answers)


def _messages(params: Params, item: Item) -> list[dict[str, str]]:
    system = [{"role": "system", "content": params.system}] if params.system else []
    if item.messages is None:
        return [*system, {"role": "user", "content": item.text or ""}]
    return system + [message.model_dump() for message in item.messages]
