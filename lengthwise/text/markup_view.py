"""One look at a text as HTML: what its page shows, what its markup hides, and how it reads to who sees the tags."""

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

from lengthwise.text import markup
from lengthwise.text.html_names import ATTRIBUTES, GAPS, KEYWORDS, TEXT_ONLY, UNSEEN
from lengthwise.text.markup import MarkupToken, TokenKind
from lengthwise.text.traced import TracedText, joined

_TAGS = (TokenKind.START_TAG, TokenKind.END_TAG)
_SYNTAX = "<>/!?- "
#: An attribute's name and value in a tag, after the tag's name or another attribute.
_ATTRIBUTE = re.compile(r"[ /]*+(=?[^ /=>]++) ?(?:= ?(?:\"([^\"]*+)|'([^']*+)|([^ >]*+))[\"']?)?")
#: The name of a tag or declaration, and its end.
_NAME = re.compile(r"[<!/?]++(?:[^ /?>]++[ /]++)?")
_NO_LETTERS = str.maketrans("", "", " \"'=/<>")
#: The syntax in a comment that is a CDATA section, or a comment for certain browsers.
_CONDITION = re.compile(r"\[(?:CDATA\[|if [^\]]*\]>)", re.I)
#: What ends a tag or comment that the text leaves open.
_ENDS = (">", "'>", '">', "-->")


class MarkupView(NamedTuple):
    """``page`` is the text of the page, ``hidden`` what it does not show.

    ``as_written`` is the text with those tags that HTML does not know: it may never have been meant as HTML. None
    without such tags.
    """

    page: TracedText
    hidden: list[TracedText]
    as_written: TracedText | None


def view(text: TracedText) -> MarkupView:
    """Reads ``text``, which has been folded, as HTML, once."""
    page: list[TracedText] = []
    written: list[TracedText] = []
    hidden: list[TracedText] = []
    unseen, text_only, has_odd, at = "", 0, False, 0
    for token in markup.tokens(text.text):
        raw = text.slice(at, at + len(token.raw))
        at += len(token.raw)
        if token.kind in (TokenKind.TEXT, TokenKind.REFERENCE) or not token.raw.strip("</"):
            read = raw if token.text in (token.raw, "") else raw.made(token.text, 0, len(token.raw))
            if unseen:
                hidden.append(read)
            else:
                page.append(read)
                written.append(read)
            continue
        is_tag = token.kind in _TAGS
        is_odd = token.kind is TokenKind.UNFINISHED or (is_tag and _is_odd(token))
        hidden += _hidden(token, raw, is_odd)
        if is_tag:
            if text_only:
                hidden += _with_references(text.slice(text_only, at - len(token.raw)))
            text_only = at if token.kind is TokenKind.START_TAG and token.name in TEXT_ONLY else 0
            unseen = token.name if token.kind is TokenKind.START_TAG and token.name in UNSEEN else ""
        gap = raw.made(GAPS.get(token.name, ""), 0, len(token.raw))
        page.append(gap)
        written.append(raw if is_odd else gap)
        has_odd |= is_odd
    if text_only:
        hidden += _with_references(text.slice(text_only, at))
    return MarkupView(joined("", page, text), hidden, joined("", written, text) if has_odd else None)


def _with_references(content: TracedText) -> list[TracedText]:
    """The content of an element of text only, if a tag in it reads otherwise once references are decoded."""
    return [content] if "&" in content.text and "<" in content.text else []


def _hidden(token: MarkupToken, raw: TracedText, is_odd: bool) -> Iterator[TracedText]:
    if token.kind is TokenKind.COMMENT:
        condition = _CONDITION.match(token.text)
        content = token.text.removeprefix(condition[0]).removesuffix("]]") if condition else token.text
        yield _within(raw, content)
        if condition and condition[0].upper() != "[CDATA[":
            yield _within(raw, condition[0])
    elif token.kind is TokenKind.DECLARATION:
        if raw.text.lower() != "<!doctype html>":
            yield from _inner(raw)
    elif token.kind is TokenKind.UNFINISHED:
        yield from _unfinished(raw)
    else:
        yield from _attributes(token, raw, is_odd)


def _attributes(token: MarkupToken, raw: TracedText, is_odd: bool) -> Iterator[TracedText]:
    places = _ATTRIBUTE.finditer(raw.text, len(token.name) + 1) if token.attributes else iter(())
    for name, value in token.attributes:
        # The tokenizer leaves out an attribute that it has read before.
        place = next((each for each in places if each[1].lower() == name), None)
        if value and not (name in ("rel", "target") and KEYWORDS.issuperset(value.lower().split())):
            yield _at(raw, value, place and place.span(place.lastindex or 0))
            if name not in ATTRIBUTES:
                yield _at(raw, name, place and place.span(1))
    if is_odd:
        yield from _inner(raw)


def _unfinished(raw: TracedText) -> Iterator[TracedText]:
    """What is in a tag or comment without end, as if it ended with the text."""
    yield from _inner(raw)
    for end in _ENDS:
        tokens = markup.tokens(raw.text + end)
        if tokens[-1].kind is not TokenKind.UNFINISHED:
            for token in tokens:
                yield from _hidden(token, raw, is_odd=True)
            return


def _inner(raw: TracedText) -> Iterator[TracedText]:
    """A tag without its brackets, and without its name if words follow it."""
    yield raw.stripped(_SYNTAX)
    if (name := _NAME.match(raw.text)) and " " in (rest := raw.slice(name.end(), len(raw.text)).stripped(_SYNTAX)).text:
        yield rest


def _within(raw: TracedText, content: str) -> TracedText:
    """What a token says, at its place in the token, or in the whole of it if it is written in another way."""
    at = raw.text.find(content)
    return raw.slice(at, at + len(content)) if at >= 0 else raw.made(content, 0, len(raw.text))


def _at(raw: TracedText, content: str, span: tuple[int, int] | None) -> TracedText:
    """The same, if its place is known."""
    if span is None:
        return raw.made(content, 0, len(raw.text))
    found = raw.slice(*span)
    return found if found.text == content else raw.made(content, *span)


def _is_odd(token: MarkupToken) -> bool:
    """Whether a tag may be words in angle brackets, or hides something from a browser too."""
    if token.name not in GAPS:
        return True
    if not token.attributes:
        return False
    return any(not value and name not in ATTRIBUTES for name, value in token.attributes) or _has_unread(token)


def _has_unread(token: MarkupToken) -> bool:
    """Whether a tag has an attribute twice: a browser, and the tokenizer, read only the first of them."""
    if not token.attributes:
        return False
    read = token.name + "".join(name + value for name, value in token.attributes)
    return _n_letters(html.unescape(token.raw)) > _n_letters(read)


def _n_letters(text: str) -> int:
    return len(text.translate(_NO_LETTERS))
