"""``chat_template_kwargs``: what a chat template reads beside the messages, such as ``enable_thinking``."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator
from pydantic_core import to_json

from lengthwise.kinds.kind import finite

#: Bytes of the object as JSON. Templates read flags and short texts.
_MOST_BYTES = 4096
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)
#: What the rendering itself gives a template.
_TAKEN = frozenset([
    "messages", "tools", "documents", "add_generation_prompt", "continue_final_message", "chat_template", "tokenize",
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token", "raise_exception",
    "strftime_now", "range", "dict", "lipsum", "cycler", "joiner", "namespace", "loop", "caller", "self",
])  # fmt: skip


def _checked(value: dict[str, Any]) -> dict[str, Any]:
    for name in value:
        if name in _TAKEN:
            raise ValueError(f"may not set {name}")
        if not _NAME.fullmatch(name):
            raise ValueError("may only have names of letters, digits and _")
    written = to_json(value)
    if len(written) > _MOST_BYTES:
        raise ValueError(f"may have at most {_MOST_BYTES} bytes as JSON")
    if b"\\u0000" in written:
        raise ValueError("may have no U+0000 in a text")
    return value


#: A small JSON object. It may not set what the rendering gives a template, such as ``messages``.
TemplateOptions = Annotated[dict[str, Any], AfterValidator(finite), AfterValidator(_checked)]
