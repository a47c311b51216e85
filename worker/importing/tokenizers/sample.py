"""Texts on which a tokenizer that was built is compared with its original."""

import random
import unicodedata
from collections.abc import Iterator, Sequence

from worker.importing.tokenizers.pieces import SPACE

#: Planes 0 and 1 are covered whole. Of the others: ideographs, tags, variation selectors, private use, noncharacters.
_OTHER_PLANES = (0x20000, 0x2F800, 0x30000, 0xE0000, 0xE0100, 0xF0000, 0xFFFC0, 0x10FF80)
_LINE = 64
_MIXTURES = 2000
_LONG = 20_000
_BLANK = ("", " ", "  ", "   a  b   ", "\t", "\n", "a\tb\nc\r\nd\re", " \r\n ", "a\u00a0b\u3000c\u2028d", "\0", "a\0b")
_INVISIBLE = ("\u200b", "a\u200bb", "a\u200c\u200db", "\ufeffa", "\u200e\u200fa", "a\u00adb", "\u2060", "a\ufe0fb")
_EMOJI = ("👍🏽", "👨‍👩‍👧‍👦 x", "🇩🇪🇨🇳", "☺️ ☎", "1️⃣", "a🙂b🙂🙂c")
_MARKS = ("\u0301", "a\u0301", "a\u0323\u0302", "a\u0302\u0323", "a\u0316\u0301", "\uff21\u0301", "ﬁ\u0301", "ι\u0344")
_SYLLABLES = ("\u1112\u1161\u11ab", "\uac00\u11a8", "\u314e\u314f\u3134", "ｶﾞｷﾞ", "か\u3099", "\u1100\u1100\u1161")
_SPACES = (
    SPACE,
    SPACE * 3,
    f"a{SPACE}b",
    f" {SPACE} a {SPACE}",
    f"{SPACE}a",
    "<0x41>",
    "\ufffd",
    "\ufdd0",
    "\ufdd1a\ufdd2",
)
_ORDINARY = (
    "The price is 1,000.50 € (about £860) – “please” pay before 10:30!",
    "我们今天去北京的图书馆看书,价格是1000元。",
    "Größere Häuser kosten müßige 1000 Euro.",
    "Съешь же ещё этих мягких французских булок. שלום עולם مرحبا بالعالم नमस्ते สวัสดี こんにちは",
    "def f(x):\n    return {'a': [x ** 2, ~x]}  # <b>&amp;</b>",
)


def lines(pieces: Sequence[str], control: Sequence[str]) -> list[str]:
    """Lines with all pieces of a vocabulary and all of their characters, and with all else that a text may hold."""
    pieces = [piece.replace(SPACE, " ") for piece in pieces]
    alphabet = sorted({character for piece in pieces for character in piece})
    fixed = [*_BLANK, *_INVISIBLE, *_EMOJI, *_MARKS, *_SYLLABLES, *_SPACES, *_ORDINARY]
    specials = [line for token in control for line in (token, f"a {token} b", f"{token}{token}")]
    # Marian reads ">>" and "<<" at the beginning as a language, however it is spelled.
    return [
        line
        for line in (
            *pieces,
            *(f"a{character}b {character}" for character in alphabet),
            *fixed,
            *specials,
            *_code_points(),
            *_decomposed(),
            *_mixtures(pieces, alphabet, fixed),
            *_long(pieces, alphabet),
        )
        if not line.startswith(">>")
    ]


def _code_points() -> Iterator[str]:
    for start in (*range(0, 0x20000, _LINE), *_OTHER_PLANES):
        yield "".join(chr(code) for code in range(start, start + _LINE) if not 0xD800 <= code < 0xE000)


def _decomposed() -> Iterator[str]:
    """All characters that have a decomposition, as these: with a blank between, and without."""
    for form in ("NFD", "NFKD"):
        found = [
            other
            for code in (*range(0xD800), *range(0xE000, 0x20000), *range(0x2F800, 0x2FA20))
            if (other := unicodedata.normalize(form, chr(code))) != chr(code)
        ]
        for start in range(0, len(found), _LINE):
            part = found[start : start + _LINE]
            yield " ".join(part)
            yield "".join(part)


def _mixtures(pieces: Sequence[str], alphabet: Sequence[str], fixed: Sequence[str]) -> Iterator[str]:
    dice = random.Random(0)  # noqa: S311 - the sample is the same each time
    marks = [chr(code) for code in (*range(0x300, 0x370), *range(0x1100, 0x1200))]
    others = [chr(code) for code in range(0x20, 0x3100)]
    for _ in range(_MIXTURES):
        sources = dice.choices((pieces, alphabet, fixed, marks, others, (" ",)), k=dice.randrange(1, 30))
        yield "".join(dice.choice(source) for source in sources)


def _long(pieces: Sequence[str], alphabet: Sequence[str]) -> Iterator[str]:
    yield "".join(pieces)[:_LONG]
    yield " ".join(alphabet)[:_LONG]
    yield from ("\u0fd5" * _LONG, "a" * 500, " " * _LONG, "a" + " " * _LONG + "b", "e\u0301" * _LONG)
