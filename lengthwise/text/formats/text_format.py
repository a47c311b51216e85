"""The formats of texts to translate, and which of them a text seems to have."""

import re
from enum import StrEnum
from html.entities import html5
from itertools import pairwise

from lengthwise.text.formats import element, escaped
from lengthwise.text.markup import MarkupToken, TokenKind, tokens


class TextFormat(StrEnum):
    """How a text to translate is written."""

    TEXT = "text"
    HTML = "html"
    MARKDOWN = "markdown"


#: Every text in another format than plain text has one of these characters.
_TRIGGER = re.compile(r"[<&`#\[|*\n]")
#: How many characters are looked at.
_SAMPLE = 1 << 16

_TAG = re.compile(r"<(?:/?[A-Za-z]|!(?:--|[Dd][Oo]))")
_REFERENCE = re.compile(r"&(?:#\d{1,7}|#[xX][0-9A-Fa-f]{1,6}|([A-Za-z][A-Za-z0-9]{1,31}));")

_ITEM = re.compile(r"^([ \t]*+)(?:[-*+]|\d{1,9}[.)])[ \t]++\S", re.MULTILINE)
#: What is hardly ever in plain text. Each pattern is linear, or bounded in how far it looks from one place.
_MARKDOWN = [
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"^ {0,3}```[^`\n]*+$",
        r"(?:\A|\n[ \t]*+\n)#{1,6} ++\S[^\n]*+\n(?:[ \t]*+\n[ \t\n]*+\S|#)",  # a heading with something below it
        r"(?<![\w%\])])!?\[[^\[\]\n]{1,300}+\]\([^\s()]{1,2000}+(?:\([^\s()]{0,300}+\))?(?: \"[^\"\n]{0,300}+\")?\)",
        r"\|[^\n|]*+\n(?=[|:\- \t]++$)(?=[^\n-]*+-)(?=[^\n|]*+\|)",  # the row below the head of a table
        r"(?<![A-Za-z0-9*\\])\*\*(?![\s*])[^*\n]{1,300}+(?<!\s)\*\*(?![A-Za-z0-9*])",
        r"(?<![A-Za-z0-9`\\])`(?![\s`])[^`\n]{1,300}+(?<!\s)`(?![A-Za-z0-9`])",
    )
]


def guess(text: str) -> TextFormat:
    """The format that ``text`` seems to have. In doubt it is plain text, which keeps tags and references too.

    Looks at the first 65,536 characters.
    """
    if not _TRIGGER.search(text):
        return TextFormat.TEXT
    sample = text[:_SAMPLE].replace("\r\n", "\n")
    is_html = _has_reference(sample) or _has_element(sample)
    if _is_markdown(sample) and not (is_html and _is_enclosed(text)):
        return TextFormat.MARKDOWN
    return TextFormat.HTML if is_html else TextFormat.TEXT


def _is_enclosed(text: str) -> bool:
    """Whether it begins and ends with a tag, as a page of HTML does even if its words hold signs of Markdown."""
    stripped = text.strip()
    return stripped[:1] == "<" and stripped[-1:] == ">"


def _is_markdown(text: str) -> bool:
    return any(pattern.search(text) for pattern in _MARKDOWN) or ("\n" in text and _has_nested_items(text))


def _has_nested_items(text: str) -> bool:
    indents = [len(item[1]) for item in _ITEM.finditer(text)]
    return any(0 <= above < below for above, below in pairwise(indents))


def _has_reference(text: str) -> bool:
    """Whether a whole reference is in it: ``?a=1&copy=2`` has none."""
    return "&" in text and any(not name[1] or f"{name[1]};" in html5 for name in _REFERENCE.finditer(text))


def _has_element(text: str) -> bool:
    return _TAG.search(text) is not None and any(_is_sign(token) for token in tokens(text))


def _is_sign(token: MarkupToken) -> bool:
    """Whether a token shows that its text is HTML. ``<name>`` may be a placeholder, and so may ``<title>``."""
    match token.kind:
        case TokenKind.START_TAG:
            is_telling = bool(token.attributes) or token.raw.endswith("/>") or token.name in element.UNMISTAKABLE
            return token.name in element.KNOWN and is_telling and escaped.has_sound_attributes(token)
        case TokenKind.END_TAG:
            return token.name in element.KNOWN
        case TokenKind.DECLARATION:
            return token.raw[:9].lower() == "<!doctype"
        case _:
            return escaped.is_code(token) and token.kind is TokenKind.COMMENT
