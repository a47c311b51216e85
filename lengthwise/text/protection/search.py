"""Cuts a run of words at its placeholders, and counts them."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

import regex

from lengthwise.text.part import Branch, Choice, Kept, Part, Run
from lengthwise.text.protection import word
from lengthwise.text.protection.bracket import BRACKET
from lengthwise.text.protection.convention import Convention
from lengthwise.text.protection.message import IN_BRANCH, IN_PLURAL, Outline, outline
from lengthwise.text.protection.percent import PERCENT
from lengthwise.text.protection.rule import Rule
from lengthwise.text.protection.sigil import SIGIL

#: Messages that are nested deeper are kept as they are.
MAX_DEPTH = 16

#: Every placeholder but a private character contains one of these, and most texts contain none. The pattern begins with
#: one class, to which the regex engine skips at full speed.
_TRIGGER = re.compile(
    r"[{%<@$#\\\[&_:/.-](?:(?<=[{<@$\\\[&])|(?<=%)(?:(?<!\d%)[^\s.,;]|[%(#\d]|\.[\d*]|(?<=0%)[a-zA-Z])|(?<=#)\{|(?<=__)|(?<=:)[A-Za-z/+]"
    r"|(?<=(?:tel|sms):)\d|(?<=[A-Z]-)[A-Z0-9]|(?<![A-Za-z0-9]-)(?<=-)[A-Za-z-]|(?<=[/.~]/)"
    r"|(?<![A-Za-z0-9]/)(?<=/)[A-Za-z0-9_.]|(?<=[wW]\.))"
)
#: What every match of ``word`` contains, and where it may end.
_IN_WORD = re.compile(
    r"[:@./\\-](?:(?<=:)[/\\A-Za-z+\d?]|(?<=[@\\])|(?<=[wW]\.)|(?<![A-Za-z0-9]/)(?<=/)[^\s/]|(?<=[A-Z]-)[A-Z0-9])"
)
_BLANK = re.compile(r"(?<!\\Program)(?<!\\Program Files)\s")
#: Icon fonts have these characters, and prompts have them as marks. Each is kept by itself.
_PRIVATE = "\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd"
_IS_PRIVATE = re.compile(f"[{_PRIVATE}]")
_EMOJI = regex.compile(r"(?=\p{Extended_Pictographic}|\p{Regional_Indicator}|[0-9#*]\ufe0f?\u20e3)\X")


RULES = (*PERCENT, *BRACKET, *SIGIL)
_NEVER = r"(?!)"


class Context(NamedTuple):
    """Where a text stands: which conventions are on, and in how many messages it is a branch, the last one a plural."""

    conventions: frozenset[Convention]
    depth: int = 0
    is_plural: bool = False


class Span(NamedTuple):
    """A placeholder's place in the text, and its outline if it is a message."""

    start: int
    end: int
    outline: Outline | None = None


_Finder = Callable[[str, int], Span | None]


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
    return Counter(_keys(find(Run.plain(text), conventions)))


def _keys(parts: "list[Part] | tuple[Part, ...]") -> Iterator[str]:
    for part in parts:
        if isinstance(part, Kept):
            yield part.raw
        elif isinstance(part, Choice):
            yield "".join(
                each.raw if isinstance(each, Kept) else "".join(sorted(_keys(each.parts))) for each in part.parts
            )


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
        parts.append(_kept(run, span, context))
        at = span.end
    if at < len(run.text) or not parts:
        parts.append(run.slice(at, len(run.text)))
    return parts


def _kept(run: Run, span: Span, context: Context) -> Kept | Choice:
    if span.outline is None or not span.outline.branches or context.depth == MAX_DEPTH:
        return Kept(run.slice(span.start, span.end).raw)
    inner = Context(context.conventions, context.depth + 1, span.outline.is_plural)
    parts: list[Kept | Branch] = []
    at = span.start
    for start, end in span.outline.branches:
        parts.append(Kept(run.slice(at, start).raw))
        parts.append(Branch(tuple(_parts(run.slice(start, end), inner)) if start < end else ()))
        at = end
    return Choice((*parts, Kept(run.slice(at, span.end).raw)))


def _spans(text: str, context: Context) -> Iterator[Span]:
    """The placeholders in order. Of those that overlap, the one that begins first counts."""
    finders = _finders(context.conventions, bool(context.depth), context.is_plural)
    waiting = [(finder, finder(text, 0)) for finder in finders]
    while found := [span for _, span in waiting if span]:
        first = min(found, key=lambda span: span.start)
        yield first
        waiting = [
            (finder, finder(text, first.end) if span.start < first.end else span) for finder, span in waiting if span
        ]


@cache
def _finders(conventions: frozenset[Convention], is_branch: bool, is_plural: bool) -> list[_Finder]:
    finders = [_leads(conventions, (*(IN_BRANCH if is_branch else ()), *(IN_PLURAL if is_plural else ()), *RULES))]
    if pattern := word.pattern(conventions):
        finders.insert(0, _words(pattern))
    if Convention.EMOJI in conventions:
        finders.insert(0, _emoji)
    return finders


def _words(pattern: "regex.Pattern[str]") -> _Finder:
    """Finds links, paths and codes. Looks only at what stands between two blanks and may be one, for speed."""

    def search(text: str, at: int) -> Span | None:
        while sign := _IN_WORD.search(text, at):
            start = max(text.rfind(blank, at, sign.start()) for blank in " \n\t") + 1
            blank = _BLANK.search(text, sign.start())
            end = blank.start() if blank else len(text)
            if found := pattern.search(text, max(start, at), end):
                return Span(*found.span())
            at = end
        return None

    return search


def _emoji(text: str, at: int) -> Span | None:
    found = _EMOJI.search(text, at)
    return Span(*found.span()) if found else None


def _leads(conventions: frozenset[Convention], rules: tuple[Rule, ...]) -> _Finder:
    """Finds what begins with a character of its own, by the rules of that character."""
    sources: dict[str, list[str]] = {"{": [_NEVER]}
    for rule in rules:
        if rule.convention in conventions:
            sources.setdefault(rule.first, []).append(rule.pattern)
    patterns = {first: re.compile("|".join(found)) for first, found in sources.items()}
    lead = re.compile(f"[{_PRIVATE}{re.escape(''.join(patterns))}]")
    has_messages = Convention.ICU in conventions

    def search(text: str, at: int) -> Span | None:
        for found in lead.finditer(text, at):
            start, char = found.start(), found[0]
            if char not in patterns:
                return Span(start, start + 1)
            if has_messages and char == "{" and (message := outline(text, start)):
                return Span(start, message.end, message)
            if match := patterns[char].match(text, start):
                return Span(start, match.end())
        return None

    return search
