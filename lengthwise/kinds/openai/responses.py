"""/v1/responses: a text or messages, answered. No response is stored, so none can be continued."""

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from lengthwise.kinds import conversation, kind
from lengthwise.kinds.kind import KindModel, ModelAnswer, Prompt, RequestPart, Text
from lengthwise.kinds.openai import schema
from lengthwise.kinds.openai.body import Content, SampledBody
from lengthwise.kinds.openai.chat import (
    ConversationKind,
    ReasoningEffort,
    conversation_prompt,
    effort_options,
    template_message,
)
from lengthwise.kinds.openai.line import LineItem, LineParams, unix_now
from lengthwise.kinds.openai.schema import JsonObjectFormat, JsonSchema, PlainTextFormat, ResponseFormat
from lengthwise.kinds.template_options import TemplateOptions


class InputMessage(RequestPart):
    type: Literal["message"] = "message"
    role: Literal["system", "developer", "user", "assistant"]
    content: Content


class InlineSchemaFormat(JsonSchema):
    """A JSON schema, whose fields stand beside ``type``; ``response_format`` has them in an object of their own."""

    type: Literal["json_schema"]


class TextOptions(RequestPart):
    format: Annotated[PlainTextFormat | JsonObjectFormat | InlineSchemaFormat, Field(discriminator="type")] | None = (
        None
    )
    verbosity: Literal["low", "medium", "high"] | None = None


class Reasoning(RequestPart):
    effort: ReasoningEffort | None = None


class ResponseBody(SampledBody):
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
        "tool_choice": ("none", "auto"),
        "tools": ([],),
        "top_logprobs": (0,),
        "truncation": ("disabled",),
    }

    input: Annotated[Text, Field(min_length=1)] | Annotated[list[InputMessage], Field(min_length=1, max_length=256)]
    instructions: Text | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    text: TextOptions | None = None
    reasoning: Reasoning | None = None
    chat_template_kwargs: TemplateOptions = Field(default_factory=dict)

    def limit(self) -> int | None:
        return self.max_output_tokens

    @property
    def form(self) -> ResponseFormat | None:
        given = self.text.format if self.text else None
        return schema.JsonSchemaFormat.of(given) if isinstance(given, InlineSchemaFormat) else given

    def messages(self) -> list[dict[str, str]]:
        messages = [{"role": "system", "content": self.instructions}] if self.instructions else []
        if isinstance(self.input, str):
            return [*messages, {"role": "user", "content": self.input}]
        return messages + [template_message(each.role, each.content) for each in self.input]

    def options(self) -> dict[str, Any]:
        """What the template reads beside the messages."""
        return effort_options(self.reasoning.effort if self.reasoning else None) | self.chat_template_kwargs

    def template_messages(self) -> list[dict[str, str]]:
        """The messages as templates read them, with the instruction that the answer's format needs."""
        return schema.with_instruction(self.form, self.messages())

    def texts(self) -> list[str]:
        return [each["content"] for each in self.messages()] + schema.instruction_texts(self.form)


class ResponseItem(LineItem[ResponseBody]):
    pass


class ResponsesKind(ConversationKind):
    name: ClassVar[str] = "responses"
    path: ClassVar[str] = "responses"
    item_type: ClassVar[type[kind.JobItem]] = ResponseItem
    example: ClassVar[dict[str, Any]] = {"model": "qwen", "input": "Hello"}
    example_answer: ClassVar[dict[str, Any]] = {"id": "resp_0198c0de", "object": "response"}

    def prompts(
        self, model: KindModel, params: LineParams, items: Sequence[ResponseItem], attempt: int
    ) -> list[list[Prompt]]:
        return [[conversation_prompt(model, item.body)] for item in items]

    def answered(self, model: KindModel, item: ResponseItem, answer: ModelAnswer) -> dict[str, Any] | None:
        body = item.body
        found = conversation.spoken(model, body.template_messages(), body.options(), answer, body.stops())
        if not schema.is_met(body.form, found.content):
            return None
        is_cut = answer.finish_reason == "length"
        status = "incomplete" if is_cut else "completed"
        content = [{"type": "output_text", "text": found.content, "annotations": [], "logprobs": []}]
        message = {"type": "message", "id": f"msg_{item.request}", "role": "assistant", "status": status}
        thought: dict[str, Any] = {"type": "reasoning", "id": f"rs_{item.request}", "summary": [], "status": status}
        thought["content"] = [{"type": "reasoning_text", "text": found.reasoning or ""}]
        return {
            "id": f"resp_{item.request}",
            "object": "response",
            "created_at": unix_now(),
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": {},
            "model": model.spec.name,
            "output": [*([thought] if found.n_reasoning else []), message | {"content": content}],
            "parallel_tool_calls": False,
            "temperature": body.temperature,
            "tool_choice": "none",
            "tools": [],
            "top_p": body.top_p,
            "usage": {"output_tokens_details": {"reasoning_tokens": found.n_reasoning}},
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
