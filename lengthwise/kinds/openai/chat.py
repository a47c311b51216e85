"""/v1/chat/completions: messages, rendered by the model's own template, answered."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Protocol

from pydantic import Field, model_validator

from lengthwise.kinds import conversation, kind
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
from lengthwise.kinds.template_options import TemplateOptions
from lengthwise.models.catalog import ModelSpec

#: How long a model may think, as OpenAI names it.
ReasoningEffort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]


class ChatMessage(RequestPart):
    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    name: Annotated[Text, Field(max_length=64)] | None = None
    reasoning_content: Text | None = None

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
        "verbosity": (),
        "web_search_options": (),
        "moderation": (),
    }

    messages: list[ChatMessage] = Field(min_length=1, max_length=256)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stop: Stop | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: ReasoningEffort | None = None
    chat_template_kwargs: TemplateOptions = Field(default_factory=dict)

    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens

    def stops(self) -> list[str]:
        return as_list(self.stop)

    @property
    def form(self) -> ResponseFormat | None:
        return self.response_format

    def options(self) -> dict[str, Any]:
        """What the template reads beside the messages."""
        return effort_options(self.reasoning_effort) | self.chat_template_kwargs

    def template_messages(self) -> list[dict[str, str]]:
        """The messages as templates read them, with the instruction that the answer's format needs."""
        messages = [template_message(each.role, each.content, each.reasoning_content) for each in self.messages]
        return schema.with_instruction(self.response_format, messages)

    def texts(self) -> list[str]:
        said = [text for message in self.messages for text in (text_of(message.content), message.reasoning_content)]
        return [*filter(None, said), *schema.instruction_texts(self.response_format)]


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
        return [[conversation_prompt(model, item.body)] for item in items]

    def answered(self, model: KindModel, item: ChatCompletionItem, answer: ModelAnswer) -> dict[str, Any] | None:
        body = item.body
        found = conversation.spoken(model, body.template_messages(), body.options(), answer, body.stops())
        if not schema.is_met(body.response_format, found.content):
            return None
        message: dict[str, Any] = {"role": "assistant", "content": found.content, "refusal": None, "annotations": []}
        usage = {}
        if found.n_reasoning:
            message["reasoning_content"] = found.reasoning or ""
            usage = {"completion_tokens_details": {"reasoning_tokens": found.n_reasoning}}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
        return {
            "id": f"chatcmpl-{item.request}",
            "object": "chat.completion",
            "created": unix_now(),
            "model": model.spec.name,
            "choices": [choice],
            "usage": usage,
        }


class ConversationBody(Protocol):
    """A body that holds a conversation."""

    def limit(self) -> int | None: ...
    def options(self) -> dict[str, Any]: ...
    def template_messages(self) -> list[dict[str, str]]: ...


def conversation_prompt(model: KindModel, body: ConversationBody) -> Prompt:
    """The prompt of this body. The answer may fill what it leaves of the context, up to the body's limit."""
    ids = conversation.encoded(model, body.template_messages(), body.options())
    return Prompt(ids, min(token_limit(model.spec, body.limit()), model.spec.context - len(ids)))


def effort_options(effort: ReasoningEffort | None) -> dict[str, Any]:
    """What templates read for this effort: gpt-oss its name, and others only whether there is any."""
    if effort is None:
        return {}
    return {"reasoning_effort": effort} | ({"enable_thinking": False} if effort == "none" else {})


def template_message(role: str, content: str | list[TextPart], reasoning: str | None = None) -> dict[str, str]:
    """A message as templates read it."""
    return conversation.message("system" if role == "developer" else role, text_of(content), reasoning)
