"""SentencePiece's normalization of characters, by steps that the tokenizers library has.

SentencePiece replaces, from left to right, the longest sequence of characters that its map has. The library's own step
for such a map (``Precompiled``) looks up grapheme clusters of up to five bytes and else single characters: it leaves
Korean syllables in parts, and drops marks behind some characters. Here it sees single characters only, because a mark
stands between. Sequences are composed by NFC, where the mark was taken away.
"""

import struct
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from tokenizers import Regex, normalizers

from lengthwise.errors import ConfigurationError

#: The map of SentencePiece's default, nmt_nfkc, has 225,000 sequences.
_MOST_RULES = 1_000_000
#: A trie that is malformed may loop, or have more paths than units.
_MOST_VISITS, _LONGEST_KEY = 4_000_000, 256
#: Characters of scripts that are younger than the library's NFC are composed by a step each.
_MOST_STEPS = 64
#: What joins a grapheme cluster without being a mark: the end of CRLF, joiners, voicing marks, parts of syllables.
_JOINING = ("\n", "\u200c", "\u200d", "\uff9e", "\uff9f", "\u0e33", "\u0eb3")
_SYLLABLE_PARTS = (range(0x1160, 0x1200), range(0xD7B0, 0xD800))
#: Unicode keeps them free for programs.
_NONCHARACTERS = [*map(chr, range(0xFDD0, 0xFDF0)), *(chr(plane << 16 | 0xFFFF) for plane in range(1, 17))]


class Marks(NamedTuple):
    """Three noncharacters that neither the map nor the vocabulary holds."""

    joint: str  # between characters that compose
    boundary: str
    foreign: str  # what the text's own marks become, which are unknown characters as well


def marks(in_use: set[str]) -> Marks:
    """The first noncharacters that are not in use."""
    return Marks(*_free(in_use)[:3])


def names(runs: Sequence[str], in_use: set[str]) -> dict[str, str]:
    """A noncharacter for each run, none of them a mark. Raises ``ConfigurationError`` if there are too few."""
    free = _free(in_use)[3:]
    if len(runs) > len(free):
        raise ConfigurationError(
            f"vocab.json lists {len(runs):,} runs of characters that its segmentation, a BPE model, does not know: "
            f"such a tokenizer can be built with {len(free):,} of them"
        )
    return dict(zip(runs, free, strict=False))


def _free(in_use: set[str]) -> list[str]:
    return [character for character in _NONCHARACTERS if character not in in_use]


def read(content: bytes) -> dict[str, str]:
    """The rules of a ``precompiled_charsmap``: a trie as a double array, then the replacements, each with a zero.

    Raises ``ConfigurationError`` if it is malformed.
    """
    if not content:
        return {}
    try:
        [size] = struct.unpack_from("<I", content)
        units = struct.unpack_from(f"<{size // 4}I", content, 4)
        texts = content[4 + size :]
        rules = {}
        for key, place in _keys(units):
            rules[key.decode()] = texts[place : texts.index(b"\0", place)].decode()
            if len(rules) > _MOST_RULES:
                raise ConfigurationError("the sentencepiece model's map of characters is too large")
    except (struct.error, ValueError, IndexError):
        raise ConfigurationError("the sentencepiece model's map of characters is malformed") from None
    return rules


def _keys(units: tuple[int, ...]) -> Iterator[tuple[bytes, int]]:
    """The keys of the double array and their values. See darts-clone for the bits of a unit."""
    children = defaultdict(list)
    for place, unit in enumerate(units):
        if 0 < (label := unit & 0x800000FF) < 256:
            children[place ^ label].append((place, bytes([label])))
    waiting = [(0, b"")]
    for _ in range(_MOST_VISITS):
        if not waiting:
            return
        place, key = waiting.pop()
        if len(key) > _LONGEST_KEY:
            raise ValueError("the trie loops")
        unit = units[place]
        base = place ^ (unit >> 10) << ((unit & 0x200) >> 6)
        if unit >> 8 & 1:
            yield key, units[base] & 0x7FFFFFFF
        waiting += [(child, key + label) for child, label in children[base]]
    raise ValueError("the trie has too many paths")


def steps(content: bytes, rules: dict[str, str], marks: Marks) -> list[Any]:
    """The normalizers that do what the map does. Raises ``ConfigurationError`` if the library cannot."""
    replace = normalizers.Replace
    begin = [replace(Regex(f"[{marks.joint}{marks.boundary}]"), marks.foreign)]
    if not rules:
        return begin
    composing, others = _sequences(rules)
    joining = {*_joining_characters(), *(character for key in composing for character in key[1:])}
    return [
        *begin,
        *(replace(key, others[key]) for key in sorted(others, key=len, reverse=True)),
        # Never at the very start: the library's own offsets would be wrong afterwards, and its NFC would panic.
        replace(Regex(f"(?!\\A)(?={character_class(joining)})"), marks.boundary),
        *([replace(_joints(composing, marks), marks.joint)] if composing else []),
        normalizers.Precompiled(content),
        replace(marks.joint, ""),
        normalizers.NFC(),
        replace(marks.boundary, ""),
    ]


def _sequences(rules: dict[str, str]) -> tuple[set[str], dict[str, str]]:
    """The sequences that NFC composes, once their characters are replaced, and the rules of the others."""
    compose = normalizers.NFC().normalize_str
    composing, others = set(), {}
    for key, value in rules.items():
        if len(key) > 1:
            if compose("".join(rules.get(character, character) for character in key)) == value:
                composing.add(key)
            else:
                others[key] = value
    if len(others) > _MOST_STEPS or any(len(key) > 2 and key[:-1] not in composing for key in composing):
        raise ConfigurationError("the sentencepiece model normalizes text in a way that cannot be rebuilt")
    return composing, others


def _joints(keys: set[str], marks: Marks) -> Any:
    """Matches the boundary marks that are inside one of the keys."""
    by_length = defaultdict(set)
    for key in keys:
        by_length[len(key)].add(key)
    places = []
    for length in sorted(by_length):
        for *before, last in _products(frozenset(by_length[length])):
            places.append(f"(?<={marks.boundary.join(before)}{marks.boundary})(?={last})")
    return Regex(f"{marks.boundary}(?:{'|'.join(places)})")


def _products(keys: frozenset[str]) -> Iterator[tuple[str, ...]]:
    """Keys of one length as few sequences of character classes."""
    if keys == frozenset([""]):
        yield ()
        return
    by_last = defaultdict(set)
    for key in keys:
        by_last[key[-1]].add(key[:-1])
    same = defaultdict(set)
    for last, before in by_last.items():
        same[frozenset(before)].add(last)
    for rest, lasts in same.items():
        for product in _products(rest):
            yield (*product, character_class(lasts))


def _joining_characters() -> Iterator[str]:
    yield from _JOINING
    for codes in _SYLLABLE_PARTS:
        yield from map(chr, codes)
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)).startswith("M"):
            yield chr(code)


def character_class(characters: Iterable[str], *, without: bool = False) -> str:
    """A regular expression for one of the characters, or ``without`` for any other one."""
    codes = sorted(map(ord, characters))
    ranges: list[list[int]] = []
    for code in codes:
        if ranges and code <= ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    inner = "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for first, last in ranges)
    return f"[{'^' if without else ''}{inner}]"
