"""Folds a text's characters to plain ones: what no reader sees vanishes, and a letter in another guise is that letter.

By Unicode's own properties. Letters of other scripts that look alike are the work of ``lookalike``. Pure, and linear
in the text's length.
"""

import re
import unicodedata
from functools import cache

import regex

from lengthwise.text.traced import TracedText

#: Finds markup, links, code and percent-encoded characters. The pattern begins with one character class, to which the
#: regex engine skips at full speed.
_NOISE = re.compile(r"[<&:%\]`](?:(?<=<)[!/?A-Za-z]|(?<=&)[#A-Za-z]|(?<=:)//|(?<=%)[0-9A-Fa-f]{2}|(?<=\])[(:]|(?<=`))")
_BLANKS = re.compile(" {2,}")
_IGNORABLE = regex.compile(r"\p{Default_Ignorable_Code_Point}")
#: A character that combines with its neighbours is one of these, or stands behind one of these.
_RUN = re.compile(r"[\0-\x7f]?[^\0-\x7f]+")
#: More marks on one letter than any language writes: they hide the letter from a model. After decomposition a letter
#: of Vietnamese has two diacritical marks and one of old Greek three; Hebrew and Tibetan have five marks of their own.
_DIACRITICS = r"[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]"
_TOO_MANY_MARKS = regex.compile(rf"{_DIACRITICS}{{4,}}|\p{{Mn}}{{6,}}")
_UNCOMPOSED = re.compile(_DIACRITICS)
#: Blanks that are no White_Space to Unicode: an empty braille cell, and an empty note.
_BLANK_SYMBOLS = "\u2800\U0001d159"
#: Marks that cross letters out, or draw a line under or over them. No language writes with them.
_DRAWN = "\u0305\u0332\u0333\u033f\u0488\u0489"
_OVERLAY = 1
_CJK = re.compile("[\u3041-\u30ff\u3105-\u312f\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]")
_GUISE = regex.compile(
    r"(?:NEGATIVE (?:CIRCLED|SQUARED) LATIN CAPITAL|CROSSED NEGATIVE SQUARED LATIN CAPITAL|SQUARED LATIN SMALL) LETTER"
    r" (?P<symbol>[A-Z])|LATIN LETTER SMALL CAPITAL (?P<small>[A-Z])"
)


#: Characters seen so far that stay as they are and do not combine with others, and those that do so beside ideographs.
#: The sets grow as texts come.
_ordinary: set[str] = set()
_ordinary_in_cjk: set[str] = set()


def is_plain(text: str) -> bool:
    """Whether ``fold`` keeps a text as it is, and it has neither markup nor links. It is quick, and most texts are."""
    return (
        (text.isprintable() if text.isascii() else _is_ordinary(text))
        and text[:1] != " "
        and text[-1:] != " "
        and "  " not in text
        and _NOISE.search(text) is None
    )


def _is_ordinary(text: str) -> bool:
    if not _stays(text):
        new = {char for char in set(text) if _plain(char) == char and not _combines(char)}
        _ordinary.update(new)
        _ordinary_in_cjk.update(new, filter(_is_wide_mark, text))
        if not _stays(text):
            return False
    return unicodedata.is_normalized("NFC", text)


def _stays(text: str) -> bool:
    return _ordinary.issuperset(text) or (_ordinary_in_cjk.issuperset(text) and _CJK.search(text) is not None)


def _combines(char: str) -> bool:
    return unicodedata.category(char).startswith("M")


def fold(text: TracedText) -> TracedText:
    """``text`` without invisible characters, with its letters in their plain form, and with single blanks."""
    if is_plain(text.text):
        return text
    chars = set(text.text)
    table = {char: new for char in chars if (new := _plain(char)) != char}
    if any(map(_is_wide_mark, table)) and _CJK.search(text.text):
        table = {char: new for char, new in table.items() if not _is_wide_mark(char)}
    if table:
        odd = re.compile("[" + "".join(map(re.escape, table)) + "]")
        text = text.sub(odd, lambda found: table[found[0]])
    if not text.text.isascii():
        text = _composed(text)
    return text.sub(_BLANKS, lambda _: " ").stripped(" ")


def _composed(text: TracedText) -> TracedText:
    """NFC. In a text with a letter that no language writes, marks without a composed form vanish from all letters."""
    is_obscured = _TOO_MANY_MARKS.search(unicodedata.normalize("NFD", text.text)) is not None
    if is_obscured:
        text = text.sub(_RUN, lambda run: _TOO_MANY_MARKS.sub("", unicodedata.normalize("NFD", run[0])))
    if not unicodedata.is_normalized("NFC", text.text):
        text = text.sub(_RUN, lambda run: unicodedata.normalize("NFC", run[0]))
    return text.sub(_UNCOMPOSED, lambda _: "") if is_obscured else text


@cache
def _is_wide_mark(char: str) -> bool:
    """Whether it is fullwidth punctuation, which is the usual one in Chinese and Japanese."""
    return "\uff01" <= char <= "\uff65" and not char.isalnum()


@cache
def _plain(char: str) -> str:
    """What one character is to a reader."""
    if char in "\n\t\r\v\f\x85\u2028\u2029":
        return " "
    if _IGNORABLE.match(char) or char == "\ufffd":
        return ""
    category = unicodedata.category(char)
    if category == "Zs" or char in _BLANK_SYMBOLS:
        return " "
    if category in ("Cc", "Cf", "Co", "Cs") or (category == "Cn" and not _is_newer(char)):
        return ""
    if category == "Me" or char in _DRAWN or unicodedata.combining(char) == _OVERLAY:
        return ""
    if char.isascii() or (plain := _undisguised(unicodedata.normalize("NFC", char))) == char:
        return char
    return "".join(map(_plain, plain))  # a raised small capital is a small capital first


def _is_newer(char: str) -> bool:
    """Whether it may be an emoji or ideograph newer than this Python's tables, so that two servers treat it alike."""
    return 0x1F000 <= ord(char) < 0x3FFFE and ord(char) & 0xFFFE != 0xFFFE


def _undisguised(char: str) -> str:
    """NFKC, as far as it makes a letter, a digit or fullwidth ASCII plain.

    All else stands in real texts as it is: dots such as …, accents such as ´, fractions, the letters of Thai, Armenian
    and Korean that Unicode calls compatible with two others.
    """
    if len(char) > 1:  # NFC of a letter that is only written apart
        return char
    form = unicodedata.decomposition(char).partition(" ")[0]
    plain = unicodedata.normalize("NFKC", char)
    if form == "<wide>" or form == "<narrow>":
        return plain
    if form == "<compat>":
        is_ideograph = len(plain) == 1 and _CJK.match(plain) is not None
        return plain if is_ideograph or (plain.isascii() and _has_word(plain)) else char
    if form.startswith("<") and form != "<fraction>":
        return plain if _has_word(plain) else char
    if found := _GUISE.fullmatch(unicodedata.name(char, "")):
        return str(found["symbol"] or found["small"].lower())
    return char


def _has_word(text: str) -> bool:
    return any(map(str.isalnum, text))
