"""Finds whether the numbers of a text stand in its translation. Pure, and linear in the texts' lengths.

Numbers may have digits of any script, and the separators of any language. Numbers that are words are not looked for.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

_SEPARATORS = ".,'’٬٫\u00a0\u202f"
_NUMBER = re.compile(rf"\d++(?:[{_SEPARATORS}]\d++)*+")
_SEPARATOR = re.compile(f"[{_SEPARATORS}]")
_DIGIT = re.compile(r"\d")
_DIGITS = re.compile(r"\d+")
#: Numbers up to this one become words in many a translation.
_GREATEST_IN_WORDS = 12
#: Units with which a number has other zeros: 350,000 is 35万, and 2,000,000 is 2 Millionen.
_MAGNITUDE = re.compile(
    r"\d ?[万萬億亿千百兆만억조천]"
    r"|\d ?(?:m[iı]l(?!es?\b|k)|mio|mln|mld|mrd|bill?i|bn\b|thousand|tausend|tys|lakh|crore)"
    r"|млн|млрд|милли|тыс|مليون|مليار|ألف|लाख|करोड़|हज़ार|ล้าน",
    re.IGNORECASE,
)
#: Half days: 15 o'clock is 3 p.m.
_HALF_DAY = re.compile(r"(?<![^\W\d_])[ap]\.? ?m\b|上午|下午|晚上|午前|午後|오전|오후|مساء", re.IGNORECASE)
#: A number that is written in groups, such as a telephone number, has at most so many.
_MOST_GROUPS = 5
_ROMAN_ONES = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")


def any_lost(source: str, translation: str) -> bool:
    """Whether a number greater than 12 stands in the source more often than in the translation."""
    wanted = Counter(_numbers(source)) if _DIGIT.search(source) else {}
    if not wanted:
        return False
    found = Counter(digits for digits, _ in _numbers(translation))
    missing = {each: n for each, n in wanted.items() if n > found[each.digits]}
    return bool(missing) and not _OtherForms(source, translation).hold_all(missing)


class _Number(NamedTuple):
    """A number in ASCII digits without separators and needless zeros, and its digits as they stand in the text."""

    digits: str
    groups: tuple[str, ...]


def _numbers(text: str) -> Iterator[_Number]:
    """The numbers greater than 12."""
    for found in _NUMBER.findall(text):
        groups = tuple(_SEPARATOR.split(found if found.isascii() else _ascii(found)))
        for number in [groups] if _is_one_number(groups) else [(group,) for group in groups]:
            digits = _joined(number).lstrip("0")
            if len(digits) > 2 or (digits and int(digits) > _GREATEST_IN_WORDS):
                yield _Number(digits, number)


def _ascii(text: str) -> str:
    return "".join(str(int(char)) if char.isdecimal() else char for char in text)


def _is_one_number(groups: tuple[str, ...]) -> bool:
    """Whether the groups are thousands and decimals. Those of a date or a version are numbers by themselves."""
    return len(groups) <= 2 or all(len(group) == 3 for group in groups[1:-1])


def _joined(groups: tuple[str, ...]) -> str:
    """``1,234.50`` and ``1.234,5`` are both ``12345``."""
    whole, last = "".join(groups[:-1]), groups[-1]
    return whole + (last.rstrip("0") if whole and len(last) != 3 else last)


class _OtherForms:
    """Other forms of a number that was not found in the translation."""

    def __init__(self, source: str, translation: str) -> None:
        self._translation = translation
        groups = _DIGITS.findall(_ascii(translation))
        self._groups = Counter(groups)
        self._joined = {
            "".join(groups[start : start + n]).lstrip("0")
            for n in range(2, _MOST_GROUPS + 1)
            for start in range(len(groups) - n + 1)
        }
        self._within = {
            group[start : start + n]
            for group in groups
            if len(group) >= 5
            for n in (2, 3, 4)
            for start in range(len(group) - n + 1)
        }
        self._rounded = {digits.rstrip("0") for digits in [*groups, *(each.digits for each in _numbers(translation))]}
        self._has_magnitude = bool(_MAGNITUDE.search(source) or _MAGNITUDE.search(translation))
        self._has_half_day = bool(_HALF_DAY.search(source) or _HALF_DAY.search(translation))

    def hold_all(self, missing: dict[_Number, int]) -> bool:
        return all(self._holds(number, n) for number, n in missing.items())

    def _holds(self, number: _Number, n: int) -> bool:
        digits, groups = number
        return (
            all(self._groups[group] >= n for group in groups)  # 17.30 and 17:30
            or digits in self._joined  # 1 000 000
            or digits in self._within  # 030 12 34 56 and 030 123456
            or (self._has_magnitude and digits.rstrip("0") in self._rounded)
            or (self._has_half_day and _is_hour_or_minute(groups))
            or (len(digits) == 2 and self._is_numeral(int(digits)))
        )

    def _is_numeral(self, number: int) -> bool:
        """Whether the translation has Chinese numerals, or a century in Roman ones: ``XIX век``."""
        roman = "X" * (number // 10) + _ROMAN_ONES[number % 10]
        return "十" in self._translation or (number < 40 and roman in self._translation)


def _is_hour_or_minute(groups: tuple[str, ...]) -> bool:
    return all(len(group) <= 2 for group in groups) and int(groups[-1]) < 60
