"""/v1/responses: a text or messages, answered; nothing is stored that a later response could go on from."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lengthwise.kinds import kind
from lengthwise.kinds.kind import Answer, Model, Prompt, Text, Wire
from lengthwise.kinds.openai import schema
from lengthwise.kinds.openai.body import Content, Drawn, most
from lengthwise.kinds.openai.chat import Conversation, conversation, spoken
from lengthwise.kinds.openai.line import Item, Params, now
from lengthwise.kinds.openai.schema import JsonObject, JsonSchema, PlainText, ResponseFormat


class InputMessage(Wire):
    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Content


class SchemaFormat(JsonSchema):
    """As ``response_format`` has it, without the object in between."""

    type: Literal["json_schema"]


class TextOptions(Wire):
    format: Annotated[PlainText | JsonObject | SchemaFormat, Field(discriminator="type")] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ResponseBody(Drawn):
    neutral: ClassVar[dict[str, tuple[Any, ...]]] = {
        "stream": (False,),
        "stream_options": (),
        "background": (False,),
        "conversation": (),
        "context_management": (),
        "include": ([],),
        "max_tool_calls": (),
        "moderation": (),
        "parallel_tool_calls": (True, False),
        "previous_response_id": (),
        "prompt": (),
        "reasoning": (),
        "tool_choice": ("none", "auto"),
        "tools": ([],),
        "top_logprobs": (0,),
        "truncation": ("disabled",),
    }

    input: Annotated[Text, Field(min_length=1)] | Annotated[list[InputMessage], Field(min_length=1, max_length=256)]
    instructions: Text | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    text: TextOptions | None = None

    def limit(self) -> int | None:
        return self.max_output_tokens

    @property
    def form(self) -> ResponseFormat | None:
        given = self.text.format if self.text else None
        return schema.Schema.of(given) if isinstance(given, SchemaFormat) else given

    def said(self) -> list[dict[str, str]]:
        said = [{"role": "system", "content": self.instructions}] if self.instructions else []
        if isinstance(self.input, str):
            return [*said, {"role": "user", "content": self.input}]
        return said + [spoken(each.role, each.content) for each in self.input]

    def texts(self) -> list[str]:
        return [each["content"] for each in self.said()] + schema.texts(self.form)


class ResponseItem(Item[ResponseBody]):
    pass


class Responses(Conversation):
    name: ClassVar[str] = "responses"
    path: ClassVar[str] = "responses"
    item_type: ClassVar[type[kind.Item]] = ResponseItem

    def prompts(
        self, model: Model, params: Params, items: Sequence[ResponseItem], *, retry: bool = False
    ) -> list[list[Prompt]]:
        found = []
        for item in items:
            said = schema.instructed(item.body.form, item.body.said())
            found.append([conversation(model, said, most(model.spec, item.body.limit()))])
        return found

    def output(
        self, model: Model, params: Params, item: ResponseItem, prompts: Sequence[Prompt], answers: Sequence[Answer]
    ) -> dict[str, Any] | None:
        answer, body = answers[0], item.body
        if not schema.is_met(body.form, answer.text):
            return None
        is_cut = answer.finish_reason == "length"
        status = "incomplete" if is_cut else "completed"
        content = [{"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}]
        message = {"type": "message", "id": f"msg_{item.request}", "role": "assistant", "status": status}
        return {
            "id": f"resp_{item.request}",
            "object": "response",
            "created_at": now(),
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": {},
            "model": model.spec.name,
            "output": [message | {"content": content}],
            "parallel_tool_calls": False,
            "temperature": body.temperature,
            "tool_choice": "none",
            "tools": [],
            "top_p": body.top_p,
        }

    def usage(self, n_input: int, n_output: int) -> dict[str, Any]:
        return {
            "usage": {
                "input_tokens": n_input,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": n_output,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": n_input + n_output,
            }
        }
