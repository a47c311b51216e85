"""/v1/chat/completions: messages, rendered by the model's own template, answered."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from lengthwise.kinds import kind
from lengthwise.kinds.kind import CostlyOutput, Decoding, KindModel, ModelAnswer, Prompt, RequestPart, Text
from lengthwise.kinds.openai import schema
from lengthwise.kinds.openai.body import (
    Content,
    SampledBody,
    Stop,
    TextPart,
    as_list,
    text_of,
    token_limit,
    unsupported,
)
from lengthwise.kinds.openai.line import LineItem, LineKind, LineParams, seed_of, unix_now
from lengthwise.kinds.openai.schema import ResponseFormat
from lengthwise.kinds.sampling import trimmed
from lengthwise.models import template
from lengthwise.models.catalog import ModelSpec


class ChatMessage(RequestPart):
    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    name: Annotated[Text, Field(max_length=64)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _has_only_text(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for name in ("tool_calls", "tool_call_id", "function_call", "audio", "refusal"):
                if value.get(name):
                    raise unsupported(name, "is not supported here")
            return {name: given for name, given in value.items() if given is not None or name == "content"}
        return value


class ChatCompletionBody(SampledBody):
    neutral: ClassVar[dict[str, tuple[Any, ...]]] = {
        "n": (1,),
        "stream": (False,),
        "stream_options": (),
        "logprobs": (False,),
        "top_logprobs": (0,),
        "logit_bias": ({},),
        "presence_penalty": (0,),
        "frequency_penalty": (0,),
        "tools": ([],),
        "tool_choice": ("none", "auto"),
        "parallel_tool_calls": (True, False),
        "functions": ([],),
        "function_call": ("none", "auto"),
        "modalities": (["text"],),
        "audio": (),
        "prediction": (),
        "reasoning_effort": (),
        "verbosity": (),
        "web_search_options": (),
        "moderation": (),
    }

    messages: list[ChatMessage] = Field(min_length=1, max_length=256)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stop: Stop | None = None
    response_format: ResponseFormat | None = None

    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    def stops(self) -> list[str]:
        return as_list(self.stop)

    @property
    def form(self) -> ResponseFormat | None:
        return self.response_format

    def texts(self) -> list[str]:
        return [text_of(message.content) for message in self.messages] + schema.instruction_texts(self.response_format)


class ChatCompletionItem(LineItem[ChatCompletionBody]):
    pass


class ConversationKind(LineKind):
    """The kinds of endpoints whose answers may have to follow a schema."""

    serves_as: ClassVar[str] = "chat"
    max_attempts: ClassVar[int] = schema.MAX_ATTEMPTS
    exhausted_error: ClassVar[str] = "schema_not_met"

    def decoding(self, spec: ModelSpec, params: LineParams, item: LineItem[Any], attempt: int) -> Decoding:
        return schema.decoding_of_attempt(item.body.decoding(spec, seed_of(item)), attempt)

    def output(
        self, model: KindModel, params: LineParams, item: Any, answers: Sequence[ModelAnswer], attempt: int
    ) -> dict[str, Any] | CostlyOutput | None:
        if schema.is_costly(item.body.form):
            return partial(self.answered, model, item, answers[0])
        return self.answered(model, item, answers[0])

    @abstractmethod
    def answered(self, model: KindModel, item: Any, answer: ModelAnswer) -> dict[str, Any] | None:
        """The output of this answer; None if the answer does not follow the format that the line asked for."""


class ChatCompletionsKind(ConversationKind):
    name: ClassVar[str] = "chat.completions"
    path: ClassVar[str] = "chat/completions"
    item_type: ClassVar[type[kind.JobItem]] = ChatCompletionItem
    example: ClassVar[dict[str, Any]] = {"model": "qwen", "messages": [{"role": "user", "content": "Hello"}]}
    example_answer: ClassVar[dict[str, Any]] = {
        "id": "chatcmpl-0198c0de",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "qwen",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi!", "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
    }

    def prompts(
        self, model: KindModel, params: LineParams, items: Sequence[ChatCompletionItem], attempt: int
    ) -> list[list[Prompt]]:
        return [
            [conversation_prompt(model, _template_messages(item.body), token_limit(model.spec, item.body.limit()))]
            for item in items
        ]

    def answered(self, model: KindModel, item: ChatCompletionItem, answer: ModelAnswer) -> dict[str, Any] | None:
        text = trimmed(answer.text, item.body.stops())
        if not schema.is_met(item.body.response_format, text):
            return None
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
        return {
            "id": f"chatcmpl-{item.request}",
            "object": "chat.completion",
            "created": unix_now(),
            "model": model.spec.name,
            "choices": [choice],
        }


def conversation_prompt(model: KindModel, messages: Sequence[dict[str, str]], limit: int) -> Prompt:
    """The prompt of these messages. The answer may fill what they leave of the context, up to ``limit``."""
    ids = template.encode(template.load(model.spec.folder), model.tokenizer, messages)
    return Prompt(ids, min(limit, model.spec.context - len(ids)))


def _template_messages(body: ChatCompletionBody) -> list[dict[str, str]]:
    """The messages as templates read them, with the instruction that the answer's format needs."""
    messages = [template_message(each.role, each.content) for each in body.messages]
    return schema.with_instruction(body.response_format, messages)


def template_message(role: str, content: str | list[TextPart]) -> dict[str, str]:
    """A message as templates read it."""
    return {"role": "system" if role == "developer" else role, "content": text_of(content)}
