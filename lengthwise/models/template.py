"""Renders chat templates, so that no message can forge the template's control tokens.

The template runs in a sandbox, and gets a mark in place of each message's content. The text around the marks is then
encoded with control tokens, and the contents without.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache, wraps
from pathlib import Path
from typing import IO, Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from lengthwise.confined import Budget
from lengthwise.errors import ConfigurationError, InvalidInput
from lengthwise.models import model_file, model_shapes, trial
from lengthwise.models.tokenizer import ModelTokenizer

FILE = "chat_template.jinja"
#: What compiling a template and rendering the longest conversation of the trial may cost.
_BUDGET = Budget(seconds=5, memory_bytes=256 << 20)
#: Turns of the longest conversation of the trial.
_TRIAL_TURNS = 500
#: Turns of loops and calls of a rendering: so many, and so many more for each message.
_STEPS_AT_LEAST, _STEPS_OF_MESSAGE = 20_000, 200
#: Characters of a rendering, at most, and the largest number that a template may call anything with.
_MOST_CHARACTERS, _LARGEST = 4_000_000, 1_000_000
#: A format whose width is large, or a value.
_WIDE = re.compile(r"%[^a-zA-Z%]*(\*|\d{4})")
#: The variable of a rendering that counts its steps. No template can name it, as no name has a blank.
_STEPS = " steps"
_MARK = re.compile("\ufdd0(\\d+)\ufdd1")  # noncharacters: no template contains them


class _TooCostly(jinja2.TemplateError):
    """A rendering takes more steps or characters than its conversation may cost."""


class _LimitedEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox that counts the turns of loops and the calls of each rendering, and multiplies no texts."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
        self.filters |= {"tojson": _to_json, "limited": jinja2.pass_context(_limited)}
        for name in ("center", "format", "indent", "wordwrap"):
            self.filters[name] = _narrow(self.filters[name])
        self.globals |= {"raise_exception": _refuse, "strftime_now": _strftime_now}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parsed = super()._parse(source, name, filename)
        for loop in parsed.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, "limited", [], [], None, None).set_environment(self)
        return parsed

    def call(self, context: Context, called: Any, *arguments: Any, **named: Any) -> Any:
        _count(context)
        _refuse_widths((*arguments, *named.values()))
        return super().call(context, called, *arguments, **named)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "%":
            _refuse_widths((left,))
        else:
            sizes = [len(side) if isinstance(side, str | list | tuple) else abs(side) for side in (left, right)]
            most = 16 if operator == "**" else _LARGEST / max(sizes[0], 1)
            if sizes[0] > _LARGEST or sizes[1] > most:
                raise jinja2.TemplateError("the product is too large")
        return super().call_binop(context, operator, left, right)


class ChatTemplate:
    """A model's template, and the special tokens that it may use by name."""

    def __init__(self, source: str, tokens: dict[str, str]) -> None:
        self._template = _LimitedEnvironment().from_string(source)
        self._tokens = tokens

    def render(self, messages: Sequence[dict[str, str]]) -> str:
        """The text of a conversation up to the answer.

        Raises ``InvalidInput`` if the template refuses these roles, or if the rendering costs too much.
        """
        try:
            steps = {_STEPS: iter(range(_STEPS_AT_LEAST + _STEPS_OF_MESSAGE * len(messages)))}
            given = {"messages": list(messages), "add_generation_prompt": True}
            parts = self._template.generate(**self._tokens, **given, **steps)
            return _joined(parts)
        except MemoryError:  # in its trial, this refuses the template
            raise
        except _TooCostly:
            raise InvalidInput(
                "the model's chat template needs too many steps or characters for this: send fewer messages", "messages"
            ) from None
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
    tokens = config.tokens()
    trial.run(f"{__name__}:tried", json.dumps([source, tokens]).encode(), "the chat template", _BUDGET)
    return ChatTemplate(source, tokens)


def tried(request: bytes, _file: IO[bytes] | None) -> Iterator[bytes]:
    """Compiles a template and renders conversations with it. Runs in a confined child (``trial``)."""
    chat_template = ChatTemplate(*json.loads(request))
    turns = ["user", "assistant"] * _TRIAL_TURNS
    for roles in (["user"], ["system", "user"], turns, ["system", *turns]):
        messages = [{"role": role, "content": f"\ufdd0{n}\ufdd1"} for n, role in enumerate(roles)]
        for given in (messages, messages[:-1]):  # up to a turn of the assistant's, and to one of the user's
            with suppress(InvalidInput):
                chat_template.render(given)
    yield b""


def _joined(parts: Iterable[str]) -> str:
    """The text of these parts. Raises ``_TooCostly`` if it is longer than any prompt."""
    found, size = [], 0
    for part in parts:
        size += len(part)
        if size > _MOST_CHARACTERS:
            raise _TooCostly("the text is too long")
        found.append(part)
    return "".join(found)


def _limited(context: Context, values: Iterable[Any]) -> Iterator[Any]:
    """The values, each of which counts as a step."""
    for value in values:
        _count(context)
        yield value


def _count(context: Context) -> None:
    if next(context[_STEPS], None) is None:
        raise _TooCostly("the template takes too many steps")


def _narrow(made: Callable[..., Any]) -> Callable[..., Any]:
    """The filter for small widths only."""

    @wraps(made)
    def narrow(*arguments: Any, **named: Any) -> Any:
        _refuse_widths((*arguments, *named.values()))
        return made(*arguments, **named)

    return narrow


def _refuse_widths(values: Iterable[Any]) -> None:
    """Raises ``TemplateError`` for a large number, or a format with one: it could be the width of a text."""
    for value in values:
        if (isinstance(value, int) and value > _LARGEST) or (isinstance(value, str) and _WIDE.search(value)):
            raise jinja2.TemplateError("a number is too large")


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().astimezone().strftime(form)
