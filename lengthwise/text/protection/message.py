"""Reads the outline of an ICU message with branches: ``{count, plural, one {# item} other {# items}}``.

Knows the rules of ICU's MessageFormat: selectors, ``offset``, nesting, and quoting with apostrophes. Reads the outline
only; what stands in a branch is read by whom it concerns.
"""

import re
from typing import NamedTuple

from lengthwise.text.convention import Convention
from lengthwise.text.protection.rule import Rule

_HEADER = re.compile(
    r"\{\s*+[\w.-]++\s*+,\s*+(?:(plural|selectordinal)\s*+,(?:\s*+offset:\s*+\d++)?|select\s*+,|choice\s*+,)"
)
_SELECTOR = re.compile(r"\s*+(?:=\d++|[^\s{}=,'#|<]++)\s*+\{")
#: An apostrophe quotes only before a brace, or before ``#`` in a plural. Two are one of the text.
_BRACE = re.compile(r"''|'[{}](?:[^']|'')*+'?|[{}]")
_BRACE_IN_PLURAL = re.compile(r"''|'[{}#](?:[^']|'')*+'?|[{}]")

#: What else is kept in a branch, and in a branch of a plural: text in apostrophes, and the number itself.
IN_BRANCH = (Rule(Convention.ICU, "'", r"'[{}](?:[^']|'')*+'?"),)
IN_PLURAL = (Rule(Convention.ICU, "'", r"'#(?:[^']|'')*+'?"), Rule(Convention.ICU, "#", "#"))


class Outline(NamedTuple):
    """Where a message ends, and where the content of each branch begins and ends.

    No branches: it is malformed, or of a kind that cannot be translated in parts.
    """

    end: int
    is_plural: bool
    branches: tuple[tuple[int, int], ...]


def outline(text: str, start: int) -> Outline | None:
    """The outline of the message that begins at ``start``. None if none begins there.

    A message that is never closed ends with the text.
    """
    header = _HEADER.match(text, start)
    if header is None:
        return None
    is_plural = _is_of_plural(header)
    end, branches = _blocks(text, start, is_plural)
    is_whole = end is not None and _has_selectors(text, header.end(), end, branches)
    return Outline(end or len(text), is_plural, tuple(branches) if is_whole else ())


def is_plural(text: str) -> bool:
    """Whether ``text`` begins a plural, in whose branches ``#`` is the number."""
    header = _HEADER.match(text)
    return header is not None and _is_of_plural(header)


def _is_of_plural(header: re.Match[str]) -> bool:
    return header[1] is not None


def _blocks(text: str, start: int, is_plural: bool) -> tuple[int | None, list[tuple[int, int]]]:
    """The end of the braces that open at ``start``, None if there is none; and the blocks in them."""
    depth, opened, blocks = 0, start, []
    for found in (_BRACE_IN_PLURAL if is_plural else _BRACE).finditer(text, start):
        if found[0] == "{":
            depth += 1
            opened = found.end() if depth == 2 else opened
        elif found[0] == "}":
            depth -= 1
            if depth == 1:
                blocks.append((opened, found.start()))
            elif not depth:
                return found.end(), blocks
    return None, blocks


def _has_selectors(text: str, at: int, end: int, blocks: list[tuple[int, int]]) -> bool:
    """Whether there is a branch, a selector before each, and nothing after the last."""
    for opened, closed in blocks:
        if not _SELECTOR.fullmatch(text, at, opened):
            return False
        at = closed + 1
    return bool(blocks) and not text[at : end - 1].strip()
