"""Finds ICU messages, which stay in one passage even if they are written in several lines."""

import re

_START = re.compile(r"\{\s*+[\w.-]++\s*+,\s*+(?:plural|selectordinal|select)\s*+,")
_BRACE = re.compile(r"[{}]")


def messages(text: str) -> list[tuple[int, int]]:
    """Where the messages in ``text`` begin and end, such as ``{n, plural, one {# file} other {# files}}``, in order."""
    starts = {found.start() for found in _START.finditer(text)} if "{" in text else ()
    found: list[tuple[int, int]] = []
    begin, depth = -1, 0
    for brace in _BRACE.finditer(text) if starts else ():
        if brace[0] == "{":
            if not depth and brace.start() in starts:
                begin = brace.start()
            depth += begin >= 0
        elif depth:
            depth -= 1
            if not depth:
                found.append((begin, brace.end()))
                begin = -1
    return found
