"""Writes translated words into an ICU message, so that none of them becomes a part of its structure."""

import re
from collections.abc import Callable

_BEFORE_SIGN = re.compile(r"(?<!')'(?=[{}#])")
_BRACES = re.compile(r"[{}]+")
_SIGNS = re.compile(r"[{}#]+")


def encoder(encode: Callable[[str], str], *, is_plural: bool = False) -> Callable[[str], str]:
    """``encode`` for words that stand in a message, or in a branch of a plural.

    Braces are put into apostrophes, and so is ``#`` in a plural, where it is the number. An apostrophe that would begin
    such a quote is doubled: ``l'`` before ``{name}`` is written ``l''``.
    """
    signs = _SIGNS if is_plural else _BRACES
    return lambda words: encode(_quoted(words, signs))


def _quoted(words: str, signs: re.Pattern[str]) -> str:
    if "'" not in words and not signs.search(words):
        return words
    words = signs.sub(lambda found: f"'{found[0]}'", _BEFORE_SIGN.sub("''", words))
    ends_in_quote = (len(words) - len(words.rstrip("'"))) % 2 == 1 and not signs.search(words[-2:])
    return words + "'" if ends_in_quote else words
