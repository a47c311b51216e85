"""Tells by rules whether a translation is doubtful: nothing here understands a text.

A doubt is a reason to look at a translation, not a proof that it is wrong. Pure, and linear in the texts' lengths;
knows nothing of models or jobs.
"""

import re
from enum import StrEnum
from operator import eq

from lengthwise.text import number, script


class Doubt(StrEnum):
    """Why a translation is doubtful."""

    #: The translation is the source.
    COPIED = "copied"
    #: Most words are in a script that the target language is not written in.
    WRONG_SCRIPT = "wrong_script"
    #: Some words come again and again.
    REPEATS = "repeats"
    #: The translation is far too short or too long.
    LENGTH = "length"
    #: A number of the source is missing.
    NUMBERS_LOST = "numbers_lost"
    #: The model gave its own translation little probability. ``doubts`` finds neither this one nor the next.
    UNSURE = "unsure"
    #: There was nothing to translate.
    BLANK = "blank"


#: Begins what is no word: tags, URLs, placeholders, entities, options of commands.
_TRIGGER = re.compile(r"[<@{%&$\\]|--|://|www\.")
_NO_WORDS = re.compile(
    r"<[/!]?[A-Za-z][^<>]{0,500}+>|(?:\w{1,10}+://|www\.)[^\s<>\"'「」（）]*+|[\w.+-]{1,64}+@[\w-]++(?:\.[\w-]++)*+"
    r"|\$?\{[^{}]{0,200}+\}|%[-+#0-9.$]{0,8}+(?:\(\w{1,64}+\))?[a-zA-Z@%]|&#?\w{1,32}+;|\$\w{1,64}+|\\[a-zA-Z]"
    r"|--[A-Za-z][\w-]*+"
)
_WORD = re.compile(r"[^\W\d_]+")
_TOKEN = re.compile(r"\w+")
_NO_LETTERS = re.compile(r"[\W_]+")
#: Languages so near to each other that a sentence may be the same in both.
_SIBLINGS = ({"da", "nb", "nn", "no"}, {"bs", "hr", "me", "sh", "sr"}, {"id", "ms"}, {"cs", "sk"}, {"wuu", "yue", "zh"})
#: Words that stand in small letters within names.
_NAMES_HAVE = (
    "al and at bin da das de del den der di do dos du el et for in la las le les los of on the to und van von y"
)
_PARTICLES = frozenset(_NAMES_HAVE.split())
#: Chinese characters and kana, Hangul and Thai say more than a letter does.
_DENSE = re.compile("[\u3400-\u9fff\U00020000-\U0003ffff]")
_SYLLABIC = re.compile("[\u3040-\u30ff\uac00-\ud7af]")
#: A translation may be so many times longer or shorter than its source, apart from so many letters.
_RATIO, _SLACK = 3, 25
#: Fewer letters say nothing: (C) may become ©.
_FEW_LETTERS = 4
#: So many repeats that cover so many words, or so many characters within a word, are no style.
_REPEATS, _REPEATED_WORDS, _REPEATED_CHARACTERS = 4, 5, 12
_LONGEST_UNIT = 10
_REPEATED = re.compile(r"(\w[^\s]{0,19}?)\1{3,}")


def doubts(source: str, translation: str, source_language: str | None, target_language: str | None) -> list[Doubt]:
    """The reasons to doubt a translation, in the order of ``Doubt``.

    Languages are codes of ISO 639 or BCP 47. Tags, URLs and placeholders are not looked at. A source without a word
    gives no doubt.
    """
    is_empty = not translation.strip()
    source, translation = _words_of(source), _words_of(translation)
    if not _WORD.search(source):
        return []
    if is_empty:
        return [Doubt.LENGTH]
    found = []
    if _is_copied(source, translation, source_language, target_language):
        found.append(Doubt.COPIED)
    if _is_in_wrong_script(source, translation, target_language):
        found.append(Doubt.WRONG_SCRIPT)
    if _repeats(source, translation):
        found.append(Doubt.REPEATS)
    if _has_wrong_length(source, translation):
        found.append(Doubt.LENGTH)
    if number.any_lost(source, translation):
        found.append(Doubt.NUMBERS_LOST)
    return found


def _words_of(text: str) -> str:
    return _NO_WORDS.sub(" ", text) if _TRIGGER.search(text) else text


def _is_copied(source: str, translation: str, source_language: str | None, target_language: str | None) -> bool:
    before, after = _TOKEN.search(source), _TOKEN.search(translation)
    if not (before and after and before[0].casefold() == after[0].casefold()):  # most are decided here
        return False
    if _NO_LETTERS.sub("", source.casefold()) != _NO_LETTERS.sub("", translation.casefold()):
        return False
    pair = {script.primary(source_language), script.primary(target_language)}
    if len(pair) == 1 or any(pair <= siblings for siblings in _SIBLINGS):
        return False
    words = _WORD.findall(source)
    if all(word.lower() == word.upper() for word in words):  # without capitals, a name is not told from other words
        is_foreign = bool(script.foreign_words(source, target_language))
        return script.n_words(words) >= (2 if is_foreign else 4)
    return len(words) > 1 and (len(words) > 4 or any(_is_common(word) for word in words))


def _is_common(word: str) -> bool:
    """Whether a word is neither a name nor a code."""
    return len(word) > 1 and word.islower() and word not in _PARTICLES


def _is_in_wrong_script(source: str, translation: str, language: str | None) -> bool:
    foreign = script.foreign_words(translation, language)
    if not foreign:
        return False
    names = {word for word in _WORD.findall(source) if not word.islower() and word.lower() != word.upper()}
    names.update(word for token in source.split() if "_" in token for word in _WORD.findall(token))
    words = [word for word in foreign if word not in names]
    n_letters = sum(map(len, words)) * (2 if words and words[0].lower() == words[0].upper() else 1)
    return n_letters >= _FEW_LETTERS and script.n_words(words) > script.n_words(script.own_words(translation, language))


def _repeats(source: str, translation: str) -> bool:
    n = max(_repeats_of_words(translation, _REPEATED_WORDS), _repeats_of_characters(translation, _REPEATED_CHARACTERS))
    return n >= _REPEATS and n > 2 * max(_repeats_of_words(source, 1), _repeats_of_characters(source, 1))


def _repeats_of_words(text: str, least: int) -> int:
    """How often up to ten words come in a row that is at least ``least`` words long; 1 if they come once."""
    words = _TOKEN.findall(text.casefold())
    repeats = 1
    if len(words) - len(set(words)) < least - 1:
        return repeats
    for size in range(1, min(_LONGEST_UNIT, len(words) // 2) + 1):
        same = bytes(map(eq, words[size:], words))
        n = len(max(same.split(b"\0"), key=len)) // size + 1
        if n * size >= least:
            repeats = max(repeats, n)
    return repeats


def _repeats_of_characters(text: str, least: int) -> int:
    """How often up to twenty characters come in a row, without blanks, that is at least ``least`` characters long."""
    rows = [row for row in text.split() if len(row) >= least and len(row) - len(set(row)) >= least * 3 // 4]
    found = [match for row in rows for match in _REPEATED.finditer(row) if len(match[0]) >= least]
    return max((len(match[0]) // len(match[1]) for match in found), default=1)


def _has_wrong_length(source: str, translation: str) -> bool:
    if not _WORD.search(translation):
        return len("".join(_WORD.findall(source))) >= _FEW_LETTERS
    before, after = _weight(source), _weight(translation)
    return before > _RATIO * after + _SLACK or after > _RATIO * before + _SLACK


def _weight(text: str) -> int:
    """About how many letters of an alphabet say the same."""
    return len(text) if text.isascii() else len(text) + 2 * len(_DENSE.findall(text)) + len(_SYLLABIC.findall(text))
