"""Chat: messages, rendered by the model's own template, answered."""

from collections.abc import Collection, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from lengthwise.kinds import conversation, kind
from lengthwise.kinds.conversation import ChatOptions
from lengthwise.kinds.kind import KindModel, ModelAnswer, Prompt
from lengthwise.kinds.sampling import SampledKind, SamplingParams, single_prompts
from lengthwise.kinds.template_options import TemplateOptions
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.kind_options import KindOptions
from lengthwise.result_field import FieldPath


class Message(kind.RequestPart):
    role: Literal["system", "user", "assistant"]
    content: kind.Text
    reasoning_content: kind.Text | None = Field(
        default=None, description="What the assistant thought before it. Templates say whether it is read."
    )

    def texts(self) -> list[str]:
        return [self.content, *filter(None, [self.reasoning_content])]


class ChatParams(SamplingParams):
    system: Annotated[kind.Text, Field(max_length=32_000)] | None = Field(
        default=None, description="A system message before every item's own messages."
    )
    chat_template_kwargs: TemplateOptions = Field(
        default={},
        description="What the model's chat template reads beside the messages, such as enable_thinking. It comes "
        "before what models.toml says.",
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
        return [text for message in self.messages or () for text in message.texts()] or [self.text or ""]


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
        options = params.chat_template_kwargs
        encoded = (
            [] if item.text == "" else conversation.encoded(model, _messages(params, item), options) for item in items
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
        messages, options = _messages(params, item), params.chat_template_kwargs
        content, reasoning, n_reasoning = conversation.spoken(model, messages, options, answers[0], params.stop)
        message: dict[str, Any] = {"role": "assistant", "content": content}
        found = {"message": message, "finish_reason": answers[0].finish_reason} | params.scored(answers)
        if n_reasoning:
            message["reasoning_content"] = reasoning or ""
            found["reasoning_tokens"] = n_reasoning
        return found

    def output_fields(self, specs: Sequence[ModelSpec]) -> Collection[FieldPath] | None:
        message = [("message", name) for name in ("role", "content", "reasoning_content")]
        return [*message, ("finish_reason",), ("score",), ("reasoning_tokens",)]


def _messages(params: ChatParams, item: ChatItem) -> list[dict[str, str]]:
    system = [{"role": "system", "content": params.system}] if params.system else []
    if item.messages is None:
        return [*system, {"role": "user", "content": item.text or ""}]
    return system + [conversation.message(each.role, each.content, each.reasoning_content) for each in item.messages]
