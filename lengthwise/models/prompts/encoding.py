"""Encodes a rendered conversation, so that only the template's own control tokens become such.

The whole text is encoded at once, as transformers does. If it has the same control tokens as the template's own pieces,
that is it. If not, and a caller's characters became a control token or a part of one, the text is cut at the template's
tokens, and what is between them is encoded without any.
"""

from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from lengthwise.models.prompts.encoders import Encoders
from lengthwise.models.prompts.marked import CALLERS, OURS, Marked, marks

#: What stands for a caller's character where only the template's tokens are looked for.
_FILLER = "."


class _Found(NamedTuple):
    """A control token in a text: its characters from ``start`` to ``end``, blanks that it takes with it included."""

    number: int
    start: int
    end: int


def encode_marked(encoders: Encoders, text: Marked) -> list[int]:
    """The ids of a rendering, of which no control token lies in, or reaches into, what is marked as a caller's."""
    plain = text.plain()
    [encoding] = encoders.whole.encode_batch_fast([plain], add_special_tokens=False)
    ids: list[int] = encoding.ids
    controls = encoders.controls(ids)
    if encoders.are_plain and encoders.unknown.isdisjoint(controls) and controls == encoders.own_controls(text):
        return ids
    encoding = encoders.whole.encode(plain, add_special_tokens=False)
    written = marks(text)
    if not any(CALLERS in written[slice(*_core(encoders, text, each))] for each in _found(encoders, encoding, text)):
        return ids
    ids, at = [], 0
    filled = _filled(text)
    own = encoders.whole.encode(filled, add_special_tokens=False)
    for each in _found(encoders, own, filled):
        if CALLERS in written[slice(*_core(encoders, filled, each))]:
            continue
        ids += encode_plain(encoders, text[at : each.start].plain(), is_first=at == 0)
        ids.append(each.number)
        at = each.end
    return ids + encode_plain(encoders, text[at:].plain(), is_first=at == 0)


def encode_plain(encoders: Encoders, text: str, *, is_first: bool) -> list[int]:
    """The ids of a text without control tokens."""
    return [number for number, _ in placed_plain(encoders, text, is_first=is_first)]


def placed_plain(encoders: Encoders, text: str, *, is_first: bool) -> list[tuple[int, tuple[int, int]]]:
    """The ids of a text without control tokens, each with its characters: start and end.

    Some models have words that look like their control tokens. A text is cut within such words until none is left.
    """
    texts = [text] if text else []
    while True:
        n_first = int(is_first)
        encodings = encoders.plain.encode_batch(texts[:n_first], add_special_tokens=False)
        encodings += encoders.later.encode_batch(texts[n_first:], add_special_tokens=False)
        pieces = [_cut(encoders, each, part) for each, part in zip(encodings, texts, strict=True)]
        if all(len(each) == 1 for each in pieces):
            begins = accumulate(map(len, texts), initial=0)
            return [
                (number, (begin + start, begin + end))
                for begin, each in zip(begins, encodings, strict=False)
                for number, (start, end) in zip(each.ids, each.offsets, strict=True)
            ]
        texts = [piece for each in pieces for piece in each]


def _cut(encoders: Encoders, encoding: Any, text: str) -> list[str]:
    """The text in pieces: cut after the first character of each control token."""
    cuts = [each.start + 1 for each in _found(encoders, encoding, text) if each.end - each.start > 1]
    return [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]


def _found(encoders: Encoders, encoding: Any, text: str) -> Iterator[_Found]:
    """The control tokens of an encoding of this text, in their order."""
    for at, number in enumerate(encoding.ids):
        if number in encoders.control:
            start, end = encoding.token_to_chars(at)
            if number not in encoders.unknown or text[start:end].strip() == encoders.control[number]:
                yield _Found(number, start, end)


def _core(encoders: Encoders, text: str, found: _Found) -> tuple[int, int]:
    """Where the token itself is, without the blanks that it takes with it."""
    content = encoders.control[found.number]
    start = str.find(text, content, found.start, found.end)
    return (found.start, found.end) if start < 0 else (start, start + len(content))


def _filled(text: Marked) -> str:
    """The text, in which each character of a caller's but a blank is the same letter."""
    plain = text.plain()
    if CALLERS not in marks(text):
        return plain
    pairs = zip(plain, marks(text), strict=True)
    return "".join(c if mark == OURS[0] or c.isspace() else _FILLER for c, mark in pairs)
