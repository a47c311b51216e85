"""/v1/chat/completions: messages, rendered by the model's own template, answered."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from lengthwise.kinds import kind
from lengthwise.kinds.kind import Answer, Decoding, Model, Prompt, Text, Wire
from lengthwise.kinds.openai import schema
from lengthwise.kinds.openai.body import Content, Drawn, Stop, TextPart, most, strings, text_of, unsupported
from lengthwise.kinds.openai.line import Item, Line, Params, now, seed_of
from lengthwise.kinds.openai.schema import ResponseFormat
from lengthwise.kinds.sampling import trimmed
from lengthwise.models import template
from lengthwise.models.catalog import ModelSpec


class ChatMessage(Wire):
    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    name: Annotated[Text, Field(max_length=64)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _says_a_text(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for name in ("tool_calls", "tool_call_id", "function_call", "audio", "refusal"):
                if value.get(name):
                    raise unsupported(name, "is not supported here")
            return {name: given for name, given in value.items() if given is not None or name == "content"}
        return value


class ChatBody(Drawn):
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
        return strings(self.stop)

    def texts(self) -> list[str]:
        return [text_of(message.content) for message in self.messages] + schema.texts(self.response_format)


class ChatItem(Item[ChatBody]):
    pass


class Conversation(Line):
    """Of endpoints whose answers may have to follow a schema."""

    serves_as: ClassVar[str] = "chat"
    most_asked: ClassVar[int] = schema.MOST_ASKED
    useless: ClassVar[str] = "schema_not_met"

    def decoding_of(self, spec: ModelSpec, params: Params, item: Item[Any], n_asked: int) -> Decoding:
        return schema.asked_again(item.body.decoding(spec, seed_of(item)), n_asked)


class ChatCompletions(Conversation):
    name: ClassVar[str] = "chat.completions"
    path: ClassVar[str] = "chat/completions"
    item_type: ClassVar[type[kind.Item]] = ChatItem

    def prompts(
        self, model: Model, params: Params, items: Sequence[ChatItem], *, retry: bool = False
    ) -> list[list[Prompt]]:
        return [[conversation(model, _said(item.body), most(model.spec, item.body.limit()))] for item in items]

    def output(
        self, model: Model, params: Params, item: ChatItem, prompts: Sequence[Prompt], answers: Sequence[Answer]
    ) -> dict[str, Any] | None:
        answer = answers[0]
        text = trimmed(answer.text, item.body.stops())
        if not schema.is_met(item.body.response_format, text):
            return None
        message: dict[str, Any] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish_reason}
        return {
            "id": f"chatcmpl-{item.request}",
            "object": "chat.completion",
            "created": now(),
            "model": model.spec.name,
            "choices": [choice],
        }


def conversation(model: Model, messages: Sequence[dict[str, str]], limit: int) -> Prompt:
    """The prompt of these messages, with room for what the context leaves."""
    ids = template.encode(template.load(model.spec.folder), model.tokenizer, messages)
    return Prompt(ids, min(limit, model.spec.context - len(ids)))


def _said(body: ChatBody) -> list[dict[str, str]]:
    """The messages as templates know them, behind what the format of the answer asks for."""
    said = [spoken(each.role, each.content) for each in body.messages]
    return schema.instructed(body.response_format, said)


def spoken(role: str, content: str | list[TextPart]) -> dict[str, str]:
    """A message as templates know it."""
    return {"role": "system" if role == "developer" else role, "content": text_of(content)}
