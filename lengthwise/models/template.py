"""Renders chat templates, so that no message can forge the template's control tokens.

The template runs in a sandbox, and gets a mark in place of each message's content. The text around the marks is then
encoded with control tokens, and the contents without.
"""

import json
import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lengthwise.errors import ConfigurationError, InvalidInput
from lengthwise.models import model_file, model_shapes
from lengthwise.models.tokenizer import ModelTokenizer

FILE = "chat_template.jinja"
_MARK = re.compile("\ufdd0(\\d+)\ufdd1")  # noncharacters: no template contains them


class ChatTemplate:
    """A model's template, and the special tokens that it may use by name."""

    def __init__(self, source: str, tokens: dict[str, str]) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals |= {"raise_exception": _refuse, "strftime_now": _strftime_now}
        self._template = environment.from_string(source)
        self._tokens = tokens

    def render(self, messages: Sequence[dict[str, str]]) -> str:
        """The text of a conversation up to the answer. Raises ``InvalidInput`` if the template refuses these roles."""
        try:
            return self._template.render(messages=list(messages), add_generation_prompt=True, **self._tokens)
        except Exception:  # a template can raise anything, as by dividing by zero
            raise InvalidInput(
                "the model's chat template does not accept these roles in this order", "messages"
            ) from None


def encode(chat_template: ChatTemplate, tokenizer: ModelTokenizer, messages: Sequence[dict[str, str]]) -> list[int]:
    """The token ids of a conversation, up to where the answer begins."""
    marked = [message | {"content": f"\ufdd0{n}\ufdd1"} for n, message in enumerate(messages)]
    ids: list[int] = []
    for n, part in enumerate(_MARK.split(chat_template.render(marked))):
        if n % 2:
            ids += tokenizer.encode([messages[int(part)]["content"].strip()])[0]
        elif part:
            ids += tokenizer.control(part)
    return ids


@cache
def load(folder: Path) -> ChatTemplate:
    """The template of the model in ``folder``. Raises ``ConfigurationError`` if there is none, or it is not valid."""
    config = model_shapes.read_tokenizer(folder)
    source = model_file.read_text(folder, FILE) if model_file.exists(folder, FILE) else config.chat_template
    if not isinstance(source, str):
        raise ConfigurationError(f"{folder} has no chat template: use the model for the kind generate instead of chat")
    try:
        return ChatTemplate(source, config.tokens())
    except jinja2.TemplateSyntaxError as error:
        raise ConfigurationError(f"{folder}: the chat template cannot be read: {error}") from None


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)
