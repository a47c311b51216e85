"""The scripts that a language is written in, and how much of a text is in others. Pure; knows nothing of translation.

Scripts are named as in ISO 15924. The characters of a script are those of Unicode's property ``Script``.
"""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import NamedTuple

import regex

#: The languages of each script, or each set of scripts, in codes of ISO 639. A language that is missing is unknown.
_LANGUAGES = {
    "Arab": "ar ckb fa ks prs ps sd ug ur",
    "Armn": "hy",
    "Beng": "as bn",
    "Cyrl": "ab ba be bg ce cv ky mk mn os ru sah tg tt uk",
    "Cyrl Latn": "kk sr uz",
    "Deva": "bho hi mai mr ne sa",
    "Ethi": "am ti",
    "Geor": "ka",
    "Grek": "el",
    "Gujr": "gu",
    "Guru Arab": "pa",
    "Hang Hani": "ko",
    "Hani Bopo": "wuu yue zh",
    "Hani Hira Kana": "ja",
    "Hebr": "he iw yi",
    "Khmr": "km",
    "Knda": "kn",
    "Laoo": "lo",
    "Latn": "af az bs ca ceb cs cy da de en eo es et eu fi fil fr ga gd gl ha hr ht hu id ig is it jv ku lb lt lv mg mi"
    " ms mt nb nl nn no oc pl pt qu rm ro rw sk sl sm sn so sq st su sv sw tk tl tr vi wo xh yo zu",
    "Mlym": "ml",
    "Mymr": "my",
    "Orya": "or",
    "Sinh": "si",
    "Taml": "ta",
    "Telu": "te",
    "Thai": "th",
    "Tibt": "bo dz",
}
_SCRIPTS = {language: scripts for scripts, languages in _LANGUAGES.items() for language in languages.split()}
#: Names of scripts in language tags that stand for several of Unicode's, or for a part of one.
_MIXED = {"Hans": "Hani Bopo", "Hant": "Hani Bopo", "Jpan": "Hani Hira Kana", "Kore": "Hang Hani"}
#: The scripts of Chinese, Japanese, Thai, Lao, Tibetan, Burmese and Khmer, which write no blank between words.
_UNSPACED = re.compile("[\u0e00-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\U00020000-\U0003ffff]")


class _Alphabet(NamedTuple):
    is_latin: bool
    #: Finds words in these scripts, and words in others.
    own: re.Pattern[str]
    foreign: re.Pattern[str]


@lru_cache(1_000)
def primary(language: str | None) -> str:
    """The language of a tag such as ``pt-BR``, in lower case; empty if there is none."""
    return re.split("[-_]", language, maxsplit=1)[0].lower() if language else ""


def foreign_words(text: str, language: str | None) -> list[str]:
    """The words of a text in scripts other than those of its language; none if the language is not known."""
    alphabet = _alphabet(language)
    if alphabet is None or (alphabet.is_latin and text.isascii()):
        return []
    return alphabet.foreign.findall(text)


def own_words(text: str, language: str | None) -> list[str]:
    """The words of a text in a script of its language; none if the language is not known."""
    alphabet = _alphabet(language)
    return alphabet.own.findall(text) if alphabet else []


def n_words(words: Sequence[str]) -> float:
    """How many words there are. Where no blanks are written, two characters count as a word."""
    return len(words) + sum(len(word) / 2 - 1 for word in words if _UNSPACED.match(word))


@lru_cache(1_000)
def _alphabet(language: str | None) -> _Alphabet | None:
    scripts = _scripts(language)
    own = "".join(map(_characters, scripts))
    if not own:
        return None
    return _Alphabet("Latn" in scripts, re.compile(f"[{own}]+"), re.compile(rf"[^\W\d_{own}]+"))


def _scripts(language: str | None) -> list[str]:
    for part in re.split("[-_]", language or "")[1:]:
        if len(part) == 4 and part.isalpha():
            return _MIXED.get(part.title(), part.title()).split()
    return _SCRIPTS.get(primary(language), "").split()


@cache
def _characters(script: str) -> str:
    """The letters of a script in the Basic Multilingual Plane, as ranges of a character class."""
    every = "".join(map(chr, range(0x10000)))
    try:
        runs = regex.findall(rf"[\p{{Script={script}}}&&\p{{Alphabetic}}]+", every, regex.VERSION1)
    except regex.error:
        return ""
    return "".join(f"{run[0]}-{run[-1]}" for run in runs)
