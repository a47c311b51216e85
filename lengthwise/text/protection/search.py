"""Cuts a run of words at its placeholders, and counts them."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from lengthwise.text.convention import Convention
from lengthwise.text.part import Branch, Choice, Kept, Part, Run
from lengthwise.text.protection.finder import PRIVATE, Context, Span, finders

#: Messages that are nested deeper are kept as they are.
MAX_DEPTH = 16

#: Every placeholder but a private character and emoji contains one of these, and most texts contain none. The pattern
#: begins with one class, to which the regex engine skips at full speed.
_TRIGGER = re.compile(
    r"[{%<@$#\\\[&_:/.-](?:(?<=[{<@$\\\[&])|(?<=%)(?:(?<!\d%)\S|[%(#\d]|(?<=(?<![\d.,])0%)\S|(?<=%L\d%)\S)"
    r"|(?<=#)\{|(?<=__)|(?<=:)[A-Za-z/+]"
    r"|(?<=(?:tel|sms):)\d|(?<=[A-Z]-)[A-Z0-9]|(?<![A-Za-z0-9]-)(?<=-)[A-Za-z-]|(?<=[/.~]/)"
    r"|(?<![A-Za-z0-9]/)(?<=/)[A-Za-z0-9_.]|(?<=[wW]\.))"
)
_IS_PRIVATE = re.compile(f"[{PRIVATE}]")


def find(run: Run, conventions: frozenset[Convention]) -> list[Part]:
    """The run cut into words, placeholders that are kept, and messages with branches.

    Joined, their ``raw`` is ``run.raw``. A ``Run`` among them is never empty, unless ``run`` is.
    """
    return _parts(run, Context(conventions)) if _may_hold(run.text, conventions) else [run]


def counts(text: str, conventions: frozenset[Convention]) -> Counter[str]:
    """How often each placeholder stands in ``text``.

    A message with branches counts as one: it is written with the placeholders of each branch, but without its words.
    Texts with marks may be compared too, such as a prompt and its answer: a mark is counted like a placeholder.
    """
    return Counter(_keys(find(Run.plain(text), conventions))) if _may_hold(text, conventions) else Counter()


def _keys(parts: Iterable[Part]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, Kept):
            yield part.raw
        elif isinstance(part, Choice):
            yield "".join(_structure(part))


def _structure(choice: Choice) -> Iterator[str]:
    for part in choice.parts:
        if isinstance(part, Kept):
            yield part.raw
        else:
            yield from sorted(_keys(part.parts))


def _may_hold(text: str, conventions: frozenset[Convention]) -> bool:
    return (
        _TRIGGER.search(text) is not None
        or (not text.isascii() and _IS_PRIVATE.search(text) is not None)
        or Convention.EMOJI in conventions
    )


def _parts(run: Run, context: Context) -> list[Part]:
    parts: list[Part] = []
    at = 0
    for span in _spans(run.text, context):
        if span.start > at:
            parts.append(run.slice(at, span.start))
        parts.append(_part(run, span, context))
        at = span.end
    if at < len(run.text) or not parts:
        parts.append(run.slice(at, len(run.text)))
    return parts


def _part(run: Run, span: Span, context: Context) -> Kept | Choice:
    if span.outline is None or not span.outline.branches or context.depth == MAX_DEPTH:
        return Kept(run.slice(span.start, span.end).raw)
    inner = Context(context.conventions, context.depth + 1, span.outline.is_plural)
    parts: list[Kept | Branch] = []
    at = span.start
    for start, end in span.outline.branches:
        content = _parts(run.slice(start, end), inner) if start < end else []
        parts += Kept(run.slice(at, start).raw), Branch(tuple(content))
        at = end
    return Choice((*parts, Kept(run.slice(at, span.end).raw)))


def _spans(text: str, context: Context) -> Iterator[Span]:
    """The placeholders in order. Those that overlap, such as ``www.a.com&nbsp;``, are kept together as one.

    No finder reads a character again that it had read in a placeholder, so this is linear.
    """
    found = [(finder, finder.search(0)) for finder in finders(text, context)]
    while spans := [span for _, span in found if span]:
        first = min(spans, key=lambda span: span.start)
        end = first.end
        while overlapping := [span.end for _, span in found if span and span.start < end]:
            end = max(end, *overlapping)
            found = [(finder, finder.search(end) if span and span.start < end else span) for finder, span in found]
        yield first if end == first.end else Span(first.start, end)
