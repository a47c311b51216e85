"""Protects placeholders from translation: by marks that a model copies, or by translating the pieces between them.

Placeholders are format fields (``{name}``, ``{{name}}``, ``${name}``, ``{% if %}``, ``%s``, ``%1$s``, ``%(name)s``,
``%@``, ``%%``), tags, URLs, e-mail addresses, ``@handles``, ``:emoji_codes:`` and codes such as ``SKU-12345``.
``#tags`` are none, since readers want these words translated; nor is "50% off"; nor are ICU plurals, whose branches are
text.

Pure, and linear in the text's length. Knows nothing of models. Expects text from ``clean``, which removes private use
characters, so that none can be confused with a mark.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from lengthwise.text.clean import TAG

#: Marks are U+E000, U+E001, … in order of first appearance. The demo model can copy this many.
FIRST_MARK, LIMIT = 0xE000, 8

_URL = r"(?:(?:https?|ftp)://|(?<![A-Za-z0-9.])www\.)[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%{}]*[A-Za-z0-9/=&#_~+}\-]"
_EMAIL = r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]++@[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)+"
_FIELD = r"\$?\{ ?[\w.$\[\]-]{1,64}+ ?(?:[:!][^{}\s]{1,40}+|,[^{}\n]{1,40}+)?\}"
_BRACES = r"\{{2,3}[^{}\n]{1,64}+\}{2,3}|\{%[^{}\n]{1,64}+\}|" + _FIELD
#: Not after a digit ("50%discount") nor before a letter ("the %discount"), unless it names its position.
_CONVERSION = r"[-+0#,]*+\d*+(?:\.\d++)?(?:hh?|ll?|z)?[sdiuoxXfFeEgGc@]"
_PERCENT = rf"%%|%\d++\${_CONVERSION}|%\(\w++\){_CONVERSION}|(?<![\d%])%{_CONVERSION}(?![A-Za-z])"
_HANDLE = r"(?<![A-Za-z0-9_@])@[A-Za-z0-9_]++"
_EMOJI_CODE = r"(?<![A-Za-z0-9_:]):[a-z][a-z0-9_+-]{1,31}+:(?![A-Za-z0-9_])"
#: Needs three digits in a row, so that COVID-19 and UTF-8 stay words.
_CODE = r"(?<![A-Za-z0-9-])[A-Z]{2,8}+-(?=[A-Z0-9])(?>[A-Z0-9-]*\d{3})[A-Z0-9-]*+(?![A-Za-z])"

_PLACEHOLDER = re.compile(f"({_URL}|{_EMAIL}|{TAG}|{_BRACES}|{_PERCENT}|{_HANDLE}|{_EMOJI_CODE}|{_CODE})")
#: Every placeholder contains one of these, and most texts contain none. The pattern begins with one class, for speed.
_TRIGGER = re.compile(r"[{%<@:w-](?:(?<=[{%<@])|(?<=:)[a-z/]|(?<=w)ww\.|(?<=[A-Z]-)[A-Z0-9])")
_MARK = re.compile("[\ue000-\uf8ff]")
_LETTER = re.compile(r"[^\W\d_]")


class ProtectedText(NamedTuple):
    """A text with marks for its placeholders, and the placeholders that were marked, in order and with repeats."""

    text: str
    values: tuple[str, ...]


class TextPiece(NamedTuple):
    """A part of a text. It is either translated, or kept with all its whitespace."""

    text: str
    is_text: bool


def protect(text: str, limit: int = LIMIT) -> ProtectedText:
    """Replaces each placeholder by a mark; equal placeholders get the same mark.

    After ``limit`` different placeholders, further ones stay in the text. ``split`` the text to protect these too.
    """
    if not _TRIGGER.search(text):
        return ProtectedText(text, ())
    marks: dict[str, str] = {}
    values: list[str] = []

    def mark(found: re.Match[str]) -> str:
        value = found[0]
        if value not in marks and len(marks) == limit:
            return value
        values.append(value)
        return marks.setdefault(value, chr(FIRST_MARK + len(marks)))

    return ProtectedText(_PLACEHOLDER.sub(mark, text), tuple(values))


def restore(translated: str, values: tuple[str, ...]) -> str | None:
    """Replaces the marks in ``translated`` by their values. None if a mark was lost, repeated or invented.

    Marks may be in any order, since languages differ in their word order.
    """
    found = _MARK.findall(translated)
    if not found and not values:
        return translated
    marks = {value: chr(FIRST_MARK + index) for index, value in enumerate(dict.fromkeys(values))}
    if Counter(found) != Counter(marks[value] for value in values):
        return None
    originals = {mark: value for value, mark in marks.items()}
    return _MARK.sub(lambda mark: originals[mark[0]], translated)


def split(text: str) -> list[TextPiece]:
    """Splits a text into pieces to translate and pieces to keep. Their texts, joined, are ``text``.

    A piece to translate has a letter, and no blank at its ends. All else, such as ", " between placeholders, is kept.
    """
    pieces: list[TextPiece] = []
    kept: list[str] = []
    for index, part in enumerate(_PLACEHOLDER.split(text) if _TRIGGER.search(text) else [text]):
        core = part.strip() if index % 2 == 0 and _LETTER.search(part) else ""
        before, core, after = part.partition(core) if core else (part, "", "")
        kept.append(before)
        if core:
            pieces += TextPiece("".join(kept), False), TextPiece(core, True)
            kept = [after]
    pieces.append(TextPiece("".join(kept), False))
    return [piece for piece in pieces if piece.text]


def join(pieces: Iterable[TextPiece], translations: Iterable[str]) -> str:
    """Joins the pieces, with translations in place of the text pieces. Blanks at the ends of a translation are removed.

    Raises ``ValueError`` if the number of translations is not that of the text pieces.
    """
    pieces, translated = list(pieces), [translation.strip() for translation in translations]
    if len(translated) != sum(piece.is_text for piece in pieces):
        raise ValueError("one translation for each text piece")
    rest = iter(translated)
    return "".join(next(rest) if piece.is_text else piece.text for piece in pieces)
