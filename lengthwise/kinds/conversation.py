"""What chat and OpenAI's endpoints share: a conversation's prompt, and its answer without what the model thought.

Templates and tokenizers are imported where they are used: neither is installed where only the command line is.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from lengthwise.errors import Unanswerable
from lengthwise.kinds.kind import KindModel, ModelAnswer
from lengthwise.kinds.sampling import trimmed
from lengthwise.kinds.template_options import TemplateOptions
from lengthwise.models.catalog import ModelSpec
from lengthwise.models.kind_options import KindOptions

if TYPE_CHECKING:
    from lengthwise.models.prompts.thinking import Spoken
    from lengthwise.models.template import ChatTemplate

#: Characters of a conversation, at most. No model reads as many, and a rendering has a limit of its own.
_MOST_CHARACTERS = 3_000_000

Messages = Sequence[Mapping[str, str]]


def message(role: str, content: str, reasoning: str | None) -> dict[str, str]:
    """A message as templates read it. Those of gpt-oss read what was thought by another name than all others."""
    thought = {} if reasoning is None else {"reasoning_content": reasoning, "thinking": reasoning}
    return {"role": role, "content": content, **thought}


class ChatOptions(KindOptions):
    """The chat template is the model's own (``chat_template.jinja`` or ``tokenizer_config.json``)."""

    may_sample: ClassVar[bool] = True
    needs_chat_template: ClassVar[bool] = True

    #: Which template, if the model has several.
    template: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] = "default"
    #: What the template reads beside the messages, unless a job or a request says otherwise.
    chat_template_kwargs: TemplateOptions = Field(default_factory=dict)

    @property
    def template_name(self) -> str:
        return self.template

    @classmethod
    def of(cls, spec: ModelSpec) -> "ChatOptions":
        return spec.options_of("chat", cls())


def encoded(model: KindModel, messages: Messages, options: Mapping[str, Any]) -> list[int]:
    """The prompt's ids. ``options`` come before those of the model.

    Raises ``Unanswerable`` if it is too long for any model, and ``InvalidInput`` if the template refuses it.
    """
    from lengthwise.models import template

    if sum(len(text) for each in messages for text in each.values()) > _MOST_CHARACTERS:
        raise Unanswerable("too_long")
    return template.encode(_template(model), model.tokenizer, messages, _merged(model, options))


def spoken(
    model: KindModel, messages: Messages, options: Mapping[str, Any], answer: ModelAnswer, stop: list[str]
) -> "Spoken":
    """The answer to these messages, and what the model thought before it, both up to the first stop string."""
    from lengthwise.models.prompts import thinking

    chat_template = _template(model)
    found = thinking.of(model.tokenizer, chat_template.source)
    if found is None or not answer.tokens:
        return thinking.Spoken(trimmed(answer.text, stop))

    def prompt() -> str:
        return chat_template.render(messages, _merged(model, options)).plain()

    content, reasoning, n_reasoning = found.split(answer.tokens, prompt)
    return thinking.Spoken(trimmed(content, stop), reasoning and trimmed(reasoning, stop), n_reasoning)


def _template(model: KindModel) -> "ChatTemplate":
    from lengthwise.models import template

    return template.load(model.spec.folder, ChatOptions.of(model.spec).template)


def _merged(model: KindModel, options: Mapping[str, Any]) -> dict[str, Any]:
    return ChatOptions.of(model.spec).chat_template_kwargs | dict(options)
