"""Links, addresses, paths and codes: what is no word, though it begins with a letter or a slash."""

import re
from functools import cache

import regex

from lengthwise.text.convention import Convention

#: Letters of scripts that put no blank between words (and Korean, whose endings follow directly). "请看https://a.com/x查看"
#: has them after a URL, so they are part of it only after a delimiter, as in ``/wiki/北京``.
_SCRIPTS = "".join(
    rf"\p{{scx={name}}}" for name in ("Han", "Hira", "Kana", "Hang", "Bopo", "Thai", "Laoo", "Khmr", "Mymr")
)
_WORD = r"[\p{L}\p{M}\p{N}\u200c\u200d]"
_DENSE = rf"[[{_WORD}&&[{_SCRIPTS}]]\p{{Extended_Pictographic}}\ufe0f]"
_SPACED = rf"[{_WORD}--[{_SCRIPTS}]]"
#: One step through a URL or path. It does not end in punctuation, nor takes in a bracket that it did not open.
_STEP = (
    rf"(?:{_SPACED}++|(?<!{_SPACED}){_DENSE}++|[/=&#_~+-]++|\\++(?=[A-Za-z0-9_])"
    rf"|[.,;:!?'*%$@|]++(?=[{_SPACED}/=&#_~+-]|\{{[^{{}}\s]*+\}})|\.(?={_DENSE})"
    r"|\((?:[^(){}\s<>\"]|\{[^{}\s]*+\})++\)|\[(?!/)[^\[\]{}\s<>\"]*+\]|\$?\{{1,3}[^{}\s<>\"]++\}{1,3})"
)
_NOT_IN_WORD = r"(?<![A-Za-z0-9])"

_URL = (
    rf"{_NOT_IN_WORD}(?:[A-Za-z][A-Za-z0-9+.-]{{1,20}}+://|(?i:mailto):|(?:tel|sms):(?=\+?\d)|data:(?=\w++/)"
    rf"|magnet:(?=\?)|urn:(?=\w++:)|(?<![.@-])(?i:www)\.(?=[{_SPACED}{_DENSE}])){_STEP}++"
)
_LOCAL = rf"[{_SPACED}._%+-]"
_LABEL = rf"(?:{_SPACED}++(?:-++{_SPACED}++)*+|{_DENSE}++(?:-*+{_SPACED}++)*+)"
_EMAIL = rf"(?:(?<!{_LOCAL}){_LOCAL}++|(?<!{_DENSE}){_DENSE}++)@{_LABEL}(?:\.{_LABEL})++"

_TOP = "bin boot dev etc home lib lib32 lib64 media mnt opt proc root run sbin srv sys tmp usr var".replace(" ", "|")
#: One folder is a path only if it is one of Linux: "he /she" is prose.
_ABSOLUTE = rf"/(?=(?:{_TOP})(?![A-Za-z0-9])|[A-Za-z0-9_.%+-]++/[A-Za-z0-9_.%$*{{<])"
_PATH = rf"(?<![A-Za-z0-9_/.~<>)\]}}%$\\])(?:(?:~[A-Za-z0-9_]*+|\.\.?)/|{_ABSOLUTE}){_STEP}++"
_DRIVE = (
    rf"{_NOT_IN_WORD}(?:[A-Z]:\\|[a-z]:\\(?![nrt\"']))(?:Program Files(?: \(x86\))?|{_STEP}|\\++(?=[%{{$<]|\s|$))*+"
    rf"|(?<!\\)\\\\[A-Za-z][A-Za-z0-9_.-]*+\\(?=[A-Za-z0-9_$]){_STEP}++"
)
#: Needs three digits in a row, so that COVID-19 and UTF-8 stay words.
_CODE = r"(?<![A-Za-z0-9-])[A-Z]{2,8}+-(?=[A-Z0-9])(?>[A-Z0-9-]*\d{3})[A-Z0-9-]*+(?![A-Za-z])"

_PATTERNS = (
    (Convention.LINKS, _URL),
    (Convention.LINKS, _EMAIL),
    (Convention.SHELL, _DRIVE),
    (Convention.SHELL, _PATH),
    (Convention.CODES, _CODE),
)


#: What every match contains, and where the text that may be one ends.
SIGN = re.compile(
    r"[:@./\\-](?:(?<=:)[/\\A-Za-z+\d?]|(?<=[@\\])|(?<=[wW]\.)|(?<![A-Za-z0-9]/)(?<=/)[^\s/]|(?<=[A-Z]-)[A-Z0-9])"
)
BLANK = re.compile(r"(?<!\\Program)(?<!\\Program Files)\s")


@cache
def pattern(conventions: frozenset[Convention]) -> "regex.Pattern[str] | None":
    """Finds what these conventions say. None if they say nothing here."""
    chosen = [source for convention, source in _PATTERNS if convention in conventions]
    return regex.compile("|".join(chosen), regex.VERSION1) if chosen else None
