"""Finds what a text shows to its readers as code: tags and references that stand escaped in it, as ``&lt;p&gt;``."""

import re
from collections.abc import Iterator

from lengthwise.text.formats import element
from lengthwise.text.markup import MarkupToken, TokenKind, tokens
from lengthwise.text.part import Kept, Part, Run

#: How code begins.
_CODE = re.compile(r"<[/!A-Za-z]|&#?\w{1,40}+;")


def parts(run: Run) -> list[Part]:
    """``run`` in parts: its words, and the tags, comments and references that a reader sees in it."""
    if run.starts is None or not _CODE.search(run.text):
        return [run]
    found: list[Part] = []
    start = 0
    for begin, end in _code(run.text):
        if begin > start:
            found.append(run.slice(start, begin))
        found.append(Kept(run.slice(begin, end).raw))
        start = end
    if start < len(run.text) or not found:
        found.append(run.slice(start, len(run.text)) if start else run)
    return found


def _code(text: str) -> Iterator[tuple[int, int]]:
    """Where tags, comments and references begin and end."""
    at = 0
    for token in tokens(text):
        end = at + len(token.raw)
        if is_code(token):
            yield at, end
        at = end


def is_code(token: MarkupToken) -> bool:
    """Whether it is a tag, a closed comment or a whole reference. ``a<b and c>d`` holds no tag."""
    match token.kind:
        case TokenKind.START_TAG:
            return has_sound_attributes(token)
        case TokenKind.END_TAG:
            return True
        case TokenKind.REFERENCE:
            return token.raw.endswith(";")
        case TokenKind.COMMENT:
            return token.raw.startswith("<!--") and token.raw.endswith("-->")
        case _:
            return False


def has_sound_attributes(tag: MarkupToken) -> bool:
    """Whether each attribute has a value or needs none. In prose between ``<`` and ``>`` they have none."""
    return all(value or name in element.BOOLEAN or f"{name}=" in tag.raw.lower() for name, value in tag.attributes)
