"""Folds letters that only look like the letters of a word: ``кill`` is ``kill``. By Unicode's table of confusables.

Words of one script stay, and so do words that truly mix scripts. Pure, and linear in the text's length.
"""

import re
from collections.abc import Iterable
from functools import cache

import regex

from lengthwise.text.traced import TracedText

_WORD = regex.compile(r"\p{L}[\p{L}\p{M}]*")
_LATIN_LETTER = re.compile("[A-Za-z\xaa\xba\xc0-\u02b8\u1d00-\u1dbf\u1e00-\u1eff\u2c60-\u2c7f\ua722-\ua7ff]")
#: A Latin abbreviation with an ending of another script is a word of that language, such as ``SMSка``.
_ABBREVIATION = regex.compile(r"[A-Z]{2,}(?:(?!\p{Latin})\p{Ll})+")
#: In shorter words Greek letters are units and variables, such as ``kΩ``.
_SHORTEST_WORD = 3
_LATIN, _NO_SCRIPT = "LATIN", ("COMMON", "INHERITED", "Unknown")


#: Letters seen so far that neither look like a Latin one nor belong to a script with capitals, but for Latin itself.
_innocent: set[str] = set()


def is_plain(text: str) -> bool:
    """Whether ``unmasked`` surely keeps a text as it is. It is quick."""
    if _innocent.issuperset(text) or _LATIN_LETTER.search(text) is None:
        return True
    _innocent.update(filter(_is_innocent, set(text)))
    return _innocent.issuperset(text)


def _is_innocent(char: str) -> bool:
    is_cased = char.lower() != char.upper()
    return not char.isalpha() or _script(char) == _LATIN or not (is_cased or _latin_by_case(char))


def unmasked(text: TracedText) -> TracedText:
    """``text`` with each word in the letters of one script, as far as its letters look like those."""
    if is_plain(text.text):
        return text
    letters = {char for char in set(text.text) if char.isalpha()}
    used = _scripts(letters)
    if len(used) < 2 or _LATIN not in used:
        return text
    own = {_script(char) for char in letters if not _latin(char)}
    has_latin_word = any(_scripts(word) == {_LATIN} for word in _WORD.findall(text.text))
    lent = used - own if has_latin_word else frozenset[str]()
    return text.respelled(_WORD.sub(lambda word: _unmasked(word[0], lent), text.text))


def _unmasked(word: str, lent: frozenset[str]) -> str:
    """``lent``: the scripts of which the text has only letters that look Latin."""
    scripts = _scripts(word)
    if _LATIN not in scripts:
        return "".join(_latin(char) or char for char in word) if scripts and scripts <= lent else word
    if len(scripts) < 2 or len(word) < _SHORTEST_WORD or _ABBREVIATION.fullmatch(word):
        return word
    others = [char for char in word if _script(char) not in (_LATIN, *_NO_SCRIPT)]
    latin = [char for char in word if _script(char) == _LATIN]
    is_latin = all(map(_latin_by_case, others))
    other = _script(others[0])
    is_other = len(scripts) == 2 and all(_in_script(char, other) for char in latin)
    if is_latin and is_other:
        balance = len(latin) - len(others)
        is_latin = balance > 0 or (balance == 0 and all(map(_latin, others)))
    if is_latin:
        return "".join(_latin_by_case(char) or char for char in word)
    if is_other:
        return "".join(_in_script(char, other) if _script(char) == _LATIN else char for char in word)
    return word


@cache
def _script(char: str) -> str:
    from confusable_homoglyphs import categories

    return str(categories.alias(char))


def _scripts(letters: Iterable[str]) -> frozenset[str]:
    return frozenset(map(_script, letters)).difference(_NO_SCRIPT)


@cache
def _like(char: str) -> tuple[str, ...]:
    """The single letters that look like ``char``."""
    from confusable_homoglyphs import confusables

    found = (each["c"] for each in confusables.confusables_data.get(char, ()))
    return tuple(sorted(each for each in found if len(each) == 1 and each.isalpha()))


@cache
def _latin(char: str) -> str:
    """The letter of ASCII that looks like ``char`` of another script, or nothing."""
    if char.isascii() or _script(char) == _LATIN:
        return ""
    return next(filter(str.isascii, _like(char)), "")


@cache
def _latin_by_case(char: str) -> str:
    """The same, or the small form of the letter that looks like its capital: к is no k to Unicode, but К is a K."""
    return _latin(char) or (_latin(char.upper()).lower() if len(char.upper()) == 1 else "")


@cache
def _in_script(char: str, script: str) -> str:
    """The letter of a script with capitals that looks like the Latin ``char``, or nothing."""
    alike = [each for each in _like(char) if _script(each) == script and each.islower() == char.islower()]
    by_case = [each.lower() for each in _like(char.upper()) if _script(each) == script and each.isupper()]
    return next(iter([*alike, *(by_case if char.islower() else [])]), "")
