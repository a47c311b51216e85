"""A model's own chat template: it renders the real messages, and no message can forge its control tokens.

Each character of a rendering is known to be the template's or a caller's (``prompts.marked``), so that control tokens
are read in what the template wrote alone. Templates run in a sandbox (``prompts.sandbox``).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from lengthwise.confined import Budget
from lengthwise.errors import ConfigurationError, InvalidInput
from lengthwise.models import model_file, model_shapes, trial
from lengthwise.models.prompts import sandbox
from lengthwise.models.prompts.marked import Marked, TooLong, join, marked
from lengthwise.models.prompts.sandbox import Sandbox
from lengthwise.models.tokenizer import ModelTokenizer

FILE = "chat_template.jinja"
#: The template that is taken if none is named.
DEFAULT = "default"
#: What compiling a template and rendering the longest conversation of the trial may cost.
_BUDGET = Budget(seconds=5, memory_bytes=256 << 20)
#: Turns of the longest conversation of the trial.
_TRIAL_TURNS = 500


class ChatTemplate:
    """A model's template, and the special tokens that it may use by name."""

    def __init__(self, source: str, tokens: dict[str, str]) -> None:
        self.source = source
        self._template = Sandbox().from_string(source)
        self._tokens = tokens

    def render(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any] | None = None) -> Marked:
        """The text of a conversation up to the answer, with marks on what ``messages`` and ``options`` brought in.

        ``options`` are further variables of the template. Raises ``InvalidInput`` if the template refuses these roles,
        or if the rendering costs too much.
        """
        try:
            given = {"messages": [_marked(message) for message in messages], "add_generation_prompt": True}
            given |= {"tools": None, "documents": None} | marked(dict(options or {})) | sandbox.steps(len(messages))
            return join("", self._template.generate(self._tokens | given))
        except MemoryError:  # in its trial, this refuses the template
            raise
        except (sandbox.RenderingTooCostly, TooLong):
            raise InvalidInput(
                "the model's chat template needs too many steps or characters for this: send fewer messages", "messages"
            ) from None
        except Exception:  # a template can raise anything, as by dividing by zero
            raise InvalidInput(
                "the model's chat template does not accept these roles in this order", "messages"
            ) from None


def _marked(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message as the template reads it. Its role is one of few, and no text of a caller's."""
    return {name: value if name == "role" else marked(value) for name, value in message.items()}


def encode(
    chat_template: ChatTemplate,
    tokenizer: ModelTokenizer,
    messages: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any] | None = None,
) -> list[int]:
    """The token ids of a conversation, up to where the answer begins. Raises as ``ChatTemplate.render`` does."""
    return tokenizer.encode_marked(chat_template.render(messages, options))


@cache
def load(folder: Path, name: str = DEFAULT) -> ChatTemplate:
    """The template of this name of the model in ``folder``.

    Raises ``ConfigurationError`` if there is none, or it is not valid.
    """
    config = model_shapes.read_tokenizer(folder)
    source = _source(folder, config.chat_template, name)
    tokens = config.tokens()
    trial.run(f"{__name__}:tried", json.dumps([source, tokens]).encode(), "the chat template", _BUDGET)
    return ChatTemplate(source, tokens)


def _source(folder: Path, configured: Any, name: str) -> str:
    file = FILE if name == DEFAULT else f"{model_file.TEMPLATES}/{name}.jinja"
    if model_file.exists(folder, file):
        return model_file.read_text(folder, file)
    if isinstance(configured, str):
        configured = [{"name": DEFAULT, "template": configured}]
    named = model_shapes.named_templates(configured)
    if name in named:
        return named[name]
    if named:
        raise ConfigurationError(f"{folder} has no chat template {name}, but these: {', '.join(sorted(named))}")
    raise ConfigurationError(f"{folder} has no chat template: use the model for the kind generate instead of chat")


def tried(request: bytes, _file: IO[bytes] | None) -> Iterator[bytes]:
    """Compiles a template and renders conversations with it. Runs in a confined child (``trial``)."""
    chat_template = ChatTemplate(*json.loads(request))
    turns = ["user", "assistant"] * _TRIAL_TURNS
    for roles in (["user"], ["system", "user"], turns, ["system", *turns]):
        messages = [{"role": role, "content": f"message {n}"} for n, role in enumerate(roles)]
        for given in (messages, messages[:-1]):  # up to a turn of the assistant's, and to one of the user's
            with suppress(InvalidInput):
                chat_template.render(given)
    yield b""
