"""Chat: messages, rendered by the model's own template, answered."""

from collections.abc import Collection, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from lengthwise.kinds import kind
from lengthwise.kinds.kind import KindModel, ModelAnswer, Prompt
from lengthwise.kinds.sampling import SampledKind, SamplingParams, single_prompts, trimmed
from lengthwise.models.catalog import KindOptions, ModelSpec
from lengthwise.result_field import FieldPath


class ChatOptions(KindOptions):
    """The chat template is the model's own (``chat_template.jinja`` or ``tokenizer_config.json``)."""

    may_sample: ClassVar[bool] = True
    needs_chat_template: ClassVar[bool] = True


class Message(kind.RequestPart):
    role: Literal["system", "user", "assistant"]
    content: kind.Text


class ChatParams(SamplingParams):
    system: Annotated[kind.Text, Field(max_length=32_000)] | None = Field(
        default=None, description="A system message before every item's own messages."
    )

    def shared_texts(self) -> list[str]:
        return [self.system] if self.system else []


class ChatItem(kind.JobItem):
    text: kind.Text | None = Field(default=None, description="One user message. It may be blank.")
    messages: list[Message] | None = Field(default=None, min_length=1, max_length=256)

    @model_validator(mode="after")
    def _has_text_or_messages(self) -> Self:
        if (self.text is None) == (self.messages is None):
            raise ValueError("has either text or messages")
        return self

    def texts(self) -> list[str]:
        return [message.content for message in self.messages or ()] or [self.text or ""]


class ChatKind(SampledKind):
    name: ClassVar[str] = "chat"
    params_type: ClassVar[type[kind.JobParams]] = ChatParams
    item_type: ClassVar[type[kind.JobItem]] = ChatItem
    options_type: ClassVar[type[KindOptions]] = ChatOptions
    summary: ClassVar[str] = "answers messages"
    example: ClassVar[dict[str, Any]] = {
        "temperature": 0.7,
        "items": [{"messages": [{"role": "user", "content": "Hello"}]}],
    }

    def prompts(
        self, model: KindModel, params: ChatParams, items: Sequence[ChatItem], attempt: int
    ) -> list[list[Prompt]]:
        from lengthwise.models import template  # Jinja is not installed where only the command line is

        chat_template = template.load(model.spec.folder)
        encoded = (
            [] if item.text == "" else template.encode(chat_template, model.tokenizer, _messages(params, item))
            for item in items
        )
        return single_prompts(model.spec, params, encoded)

    def output(
        self,
        model: KindModel,
        params: ChatParams,
        item: ChatItem,
        answers: Sequence[ModelAnswer],
        attempt: int,
    ) -> dict[str, Any] | None:
        if not answers:  # an empty text asks nothing
            return {"message": {"role": "assistant", "content": ""}, "finish_reason": "stop"} | params.scored(answers)
        message = {"role": "assistant", "content": trimmed(answers[0].text, params.stop)}
        return {"message": message, "finish_reason": answers[0].finish_reason} | params.scored(answers)

    def output_fields(self, specs: Sequence[ModelSpec]) -> Collection[FieldPath] | None:
        return [("message", "role"), ("message", "content"), ("finish_reason",), ("score",)]


def _messages(params: ChatParams, item: ChatItem) -> list[dict[str, str]]:
    system = [{"role": "system", "content": params.system}] if params.system else []
    if item.messages is None:
        return [*system, {"role": "user", "content": item.text or ""}]
    return system + [message.model_dump() for message in item.messages]
