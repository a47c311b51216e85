"""Finds one placeholder after the other in a text: those that a character announces, words such as URLs, and emoji."""

import re
from functools import cache
from typing import NamedTuple, Protocol

import regex

from lengthwise.text.convention import Convention
from lengthwise.text.protection import word
from lengthwise.text.protection.bracket import BRACKET
from lengthwise.text.protection.message import IN_BRANCH, IN_PLURAL, Outline, outline
from lengthwise.text.protection.percent import PERCENT
from lengthwise.text.protection.sigil import SIGIL

#: Icon fonts have these characters, and prompts have them as marks. Each is kept by itself.
PRIVATE = "\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd"

#: ``\X`` reads back over all flags before it, so flags have a pattern of their own.
_EMOJI = regex.compile(r"\p{Regional_Indicator}{1,2}|(?=\p{Extended_Pictographic}|[0-9#*]\ufe0f?\u20e3)\X")


class Context(NamedTuple):
    """Where a text stands: the conventions that are on, in how many messages it is a branch, and of what."""

    conventions: frozenset[Convention]
    depth: int = 0
    is_plural: bool = False


class Span(NamedTuple):
    """A placeholder's place in the text, and its outline if it is a message."""

    start: int
    end: int
    outline: Outline | None = None


class Finder(Protocol):
    """Finds placeholders of some conventions in one text."""

    def search(self, at: int) -> Span | None:
        """The first one that begins at or after ``at``. Called with rising places only."""


def finders(text: str, context: Context) -> list[Finder]:
    """The finders for a text. If two find a placeholder at the same place, the first one is right."""
    made: list[Finder] = []
    if Convention.EMOJI in context.conventions:
        made.append(EmojiFinder(text))
    if pattern := word.pattern(context.conventions):
        made.append(WordFinder(text, pattern))
    return [*made, LeadFinder(text, context)]


class EmojiFinder:
    """Finds emoji."""

    def __init__(self, text: str) -> None:
        self._text = text

    def search(self, at: int) -> Span | None:
        found = _EMOJI.search(self._text, at)
        return Span(*found.span()) if found else None


class WordFinder:
    """Finds URLs and the like. Reads only what stands between two blanks and has a sign of them, for speed."""

    def __init__(self, text: str, pattern: "regex.Pattern[str]") -> None:
        self._text, self._pattern = text, pattern
        self._end = 0

    def search(self, at: int) -> Span | None:
        while sign := word.SIGN.search(self._text, at):
            start = at
            if sign.start() >= self._end:
                start = max(at, *(self._text.rfind(blank, at, sign.start()) + 1 for blank in " \n\t"))
                blank = word.BLANK.search(self._text, sign.start())
                self._end = blank.start() if blank else len(self._text)
            if found := self._pattern.search(self._text, start, self._end):
                return Span(*found.span())
            at = self._end
        return None


class LeadFinder:
    """Finds what begins with a character of its own, such as ``{``, by the rules of that character."""

    def __init__(self, text: str, context: Context) -> None:
        self._text = text
        self._patterns = _patterns(context.conventions, bool(context.depth), context.is_plural)
        self._leads = _leads(frozenset(self._patterns))
        self._has_messages = Convention.ICU in context.conventions

    def search(self, at: int) -> Span | None:
        for found in self._leads.finditer(self._text, at):
            if span := self._span(found[0], found.start()):
                return span
        return None

    def _span(self, lead: str, start: int) -> Span | None:
        pattern = self._patterns.get(lead)
        if lead == "{" and self._has_messages and (message := outline(self._text, start)):
            return Span(start, message.end, message)
        if pattern is None:
            return Span(start, start + 1)  # a private character
        found = pattern.match(self._text, start)
        return Span(start, found.end()) if found else None


@cache
def _patterns(conventions: frozenset[Convention], is_branch: bool, is_plural: bool) -> dict[str, re.Pattern[str]]:
    """A pattern for each character that a placeholder begins with."""
    rules = (*(IN_BRANCH if is_branch else ()), *(IN_PLURAL if is_plural else ()), *PERCENT, *BRACKET, *SIGIL)
    sources: dict[str, list[str]] = {}
    for rule in rules:
        if rule.convention in conventions:
            sources.setdefault(rule.first, []).append(rule.pattern)
    return {first: re.compile("|".join(found)) for first, found in sources.items()}


@cache
def _leads(characters: frozenset[str]) -> re.Pattern[str]:
    return re.compile(f"[{PRIVATE}{re.escape(''.join(sorted(characters)))}]")
