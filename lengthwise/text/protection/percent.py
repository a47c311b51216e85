"""Placeholders that begin with a percent sign: of printf and its relatives, of dates, of Ruby and of templates."""

from lengthwise.text.convention import Convention
from lengthwise.text.protection.rule import Rule

#: Without the blank, which C allows as a flag: "5 % de" is prose.
_FLAGS = r"[-+0#,']*+"
_NUMBER = r"(?:\d++|\*(?:\d++\$)?)?"
_WIDTH = rf"{_NUMBER}(?:\.{_NUMBER})?"
_LENGTH = r"(?:hh?|ll?|[zjtLq]|I64|I32)"
_TYPE = r"(?:[tT][A-Za-z](?![A-Za-z])|[sSdDiuUoOxXfFeEgGaAcCpnmbBqvtTwr@])"
_CONVERSION = f"{_FLAGS}{_WIDTH}{_LENGTH}?{_TYPE}"
#: Other letters are an ending in most texts, as in ``%só``.
_END_OF_WORD = r"(?![A-Za-z])"
#: In "50%discount" there is none, but in ``%1%2`` there are two, and one in the octal ``0%o``.
_NOT_AFTER_DIGIT = r"(?:(?<!\d)|(?<=(?<![\d.,])0)|(?<=%\d)|(?<=%\d\d)|(?<=%L\d))"
#: A unit follows the type in ``%dkg``, ``%3ud`` and ``%dGiB``. In "the %discount" and in "20 %ige" there is no type.
_UNIT = r"(?=(?:[mun]?s|min|sec|[kKMGT]i?[bB]?|px|[hdx])(?![A-Za-z]))"
_WITH_UNIT = r"(?<!\d )%[sdiufxceg](?=[A-Z]|(?:[a-z]{1,2}|min|sec)(?![A-Za-z]))"

#: A conversion of a date, what stands between two, and the one by which a date differs from printf.
_END = r"(?:(?![A-Za-z0-9])|(?=[hT]%)|Z(?![A-Za-z]))"
_DATE = rf"%[-_0^#EO]?[A-Za-z]{_END}"
_ONLY_DATE = rf"%[-_0^#EO]?[YymBbhHIMjAFTRDZzklPUVWwC]{_END}"
_BETWEEN = r"[ \-/:.,hT年月日時时分秒년월일시]{0,3}"

_PRINTF = (
    r"%(?:\d++\$)?#@\w++@",  # Apple's stringsdict
    rf"%\d++\${_CONVERSION}",
    rf"%\([^()\n]++\){_CONVERSION}",
    r"%%",
    r"%\d{1,2}!\w++!",  # Windows' FormatMessage
    rf"{_NOT_AFTER_DIGIT}%(?=[-+#,']*+(?:0|\*|\d\d|\d?\.[\d*])|[-+#,']++\d){_CONVERSION}",
    rf"{_NOT_AFTER_DIGIT}%(?:\d*+(?:ll?|z)|\d++)[diuxXfg]{_UNIT}",
    rf"{_NOT_AFTER_DIGIT}%(?!-[A-Za-z]){_CONVERSION}{_END_OF_WORD}",
    rf"{_NOT_AFTER_DIGIT}%L?[1-9]\d?+(?!\d)(?:%(?![\dLA-Za-z%]))?",  # Qt, and Boost with its second sign
    _NOT_AFTER_DIGIT + _WITH_UNIT,
)

PERCENT: tuple[Rule, ...] = (
    Rule(Convention.DELIMITED, "%", r"%%[A-Za-z_][A-Za-z0-9_]++%%(?![A-Za-z0-9])"),
    Rule(Convention.DELIMITED, "%", r"(?<![A-Za-z0-9_])%[A-Za-z_][A-Za-z0-9_]++%(?![A-Za-z0-9%])"),
    Rule(Convention.RUBY, "%", r"%\{[^{}\n]++\}"),
    Rule(Convention.RUBY, "%", rf"%<\w++>(?:{_FLAGS}{_WIDTH}[sdiuoxXfFeEgGaAcpbB]{_END_OF_WORD})?"),
    Rule(
        Convention.STRFTIME,
        "%",
        rf"{_NOT_AFTER_DIGIT}(?=(?:{_DATE}{_BETWEEN}){{0,6}}{_ONLY_DATE}){_DATE}(?:{_BETWEEN}{_DATE}){{0,15}}+",
    ),
    *(Rule(Convention.PRINTF, "%", pattern) for pattern in _PRINTF),
)
