"""Writes translated words into an ICU message, so that none of them becomes a part of its structure."""

import re
from collections.abc import Callable

_BEFORE_BRACE = re.compile(r"(?<!')'(?=[{}])")
_BRACES = re.compile(r"[{}]+")


def encoder(encode: Callable[[str], str]) -> Callable[[str], str]:
    """``encode`` for words that stand in a message.

    Braces are put into apostrophes. An apostrophe that would begin such a quote is doubled: ``l'`` before ``{name}`` is
    written ``l''``.
    """
    return lambda words: encode(_quoted(words))


def _quoted(words: str) -> str:
    if "'" not in words and "{" not in words and "}" not in words:
        return words
    words = _BRACES.sub(lambda braces: f"'{braces[0]}'", _BEFORE_BRACE.sub("''", words))
    ends_in_quote = (len(words) - len(words.rstrip("'"))) % 2 == 1 and not _BRACES.search(words[-2:])
    return words + "'" if ends_in_quote else words
