"""Passages within a text that its syntax encodes or surrounds: in links, quotes and Markdown.

A model is sure of a sentence alone, and much less so of one within ``alert("…")`` or ``?q=…``. Pure, and linear in the
text's length.
"""

import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote_plus

import regex

from lengthwise.text.traced import TracedText

_WORD = re.compile(r"[^ ]+")
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_URL_PARTS = re.compile(r"[^/?#&=;]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^ ]|[/?#][^ ]")
_DATA = re.compile(r"data:[^,]*,", re.I)
#: Words in a name or a link's path, such as ``how-to-boil-an-egg``. Fewer words are names of classes and the like.
_SLUG = regex.compile(r"\p{L}+(?:[-_+.]+\p{L}+){3,}+[-_+.]*+")
_SLUG_SIGNS = re.compile("[-_+.]+")
#: Letters of scripts whose words have no blanks between them.
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]{2}")
#: A string, or what stands behind the last quotation mark.
_QUOTED = re.compile(r"\"([^\"]*)(?:\"|$)|'([^']*)(?:'|$)|`([^`]*)(?:`|$)|(?<=[\"'`])(\w[^\"'`]*)$")
#: Signs around a hidden text that belong to the syntax in which it stands.
_AROUND = "<>/=-[](){}|*# "
_CODE = re.compile(r"(?<!`)`++([^`]++)`")
_TITLE = r"(?:\"([^\"]*)\"|'([^']*)'|\(([^()]*)\))"
_LINK = re.compile(rf"!?\[([^\[\]]*)\]\( ?<?[^ ()<>]*>?(?: {_TITLE})? ?\)")
_DEFINITION = re.compile(rf"\]: ?[^ \]]+ {_TITLE}")


def passages(text: TracedText, is_hidden: bool) -> Iterator[TracedText]:
    """The passages of a text with single blanks. ``is_hidden``: it is no text of a page, but of its markup."""
    if is_hidden:
        yield from _several_words(_of_syntax(text))
        if found := _DATA.match(text.text):
            yield text.slice(found.end(), len(text.text))
    if is_hidden or "%" in text.text or "://" in text.text:
        yield from _of_links(text, is_hidden)
    if "`" in text.text:
        yield from _several_words(_groups(_CODE, text))
    if "](" in text.text:
        yield from _groups(_LINK, text, first=2)
    if "]:" in text.text:
        yield from _groups(_DEFINITION, text)


def has_several_words(text: str) -> bool:
    return " " in text.strip() or _UNSPACED.search(text) is not None


def without_links(text: TracedText) -> TracedText:
    """A text as Markdown shows it, as far as its links are concerned."""
    return text.kept(_LINK, 1) if "](" in text.text else text


def _of_syntax(text: TracedText) -> Iterator[TracedText]:
    yield from _groups(_QUOTED, text)
    if text.text[0] in _AROUND or text.text[-1] in _AROUND:
        yield text.stripped(_AROUND)


def _of_links(text: TracedText, is_hidden: bool) -> Iterator[TracedText]:
    """The parts of links that are encoded, or that have words; and whatever else is percent-encoded."""
    if is_hidden and " " in text.text and _SCHEME.match(text.text):
        yield from _several_words(text.slice(*part.span()) for part in _URL_PARTS.finditer(text.text))
    is_value = is_hidden and " " not in text.text
    for word in _WORD.finditer(text.text):
        is_link = is_value or "://" in word[0]
        if is_link or _ENCODED.search(word[0]):
            for part in _URL_PARTS.finditer(word[0]):
                if found := _decoded(part[0], is_link):
                    start = word.start() + part.start()
                    yield text.made(found, start, start + len(part[0]))


def _decoded(part: str, is_link: bool) -> str:
    if _ENCODED.search(part) or (is_link and "+" in part):
        return unquote_plus(part)
    return _SLUG_SIGNS.sub(" ", part) if is_link and _SLUG.fullmatch(part) else ""


def _groups(pattern: re.Pattern[str], text: TracedText, first: int = 1) -> Iterator[TracedText]:
    for found in pattern.finditer(text.text):
        for group in range(first, pattern.groups + 1):
            if found[group]:
                yield text.slice(*found.span(group))


def _several_words(texts: Iterable[TracedText]) -> Iterator[TracedText]:
    return (text for text in texts if has_several_words(text.text))
