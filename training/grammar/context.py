"""The state of one text while it is built: the product that its sentences share, and its placeholders."""

from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from training.grammar.lexicon import NOUNS, PRODUCTS, WORDS, Noun
from training.grammar.phrase import Phrase

#: What a placeholder stands for. ``open`` and ``close`` are a pair around words; ``other`` can be anything.
KINDS = ("name", "product", "number", "link", "value", "open", "close", "other")
#: While a text is built, its placeholders are private-use characters from ``FIRST_MARKER`` on, ``MARKERS`` per kind.
#: Later they become U+E000, U+E001, … in the order of the source.
FIRST_MARKER, MARKERS = 0xE100, 0x200
#: The share of placeholders that repeat an earlier one of the text, as ``%s`` often does.
_REPEATED_SHARE = 0.15


class Fill(NamedTuple):
    zh: str
    en: str
    #: A phrase if the pattern chooses its case.
    de: str | Phrase


@dataclass
class TextContext:
    rng: Random
    #: The product that the text is about.
    noun: Noun = field(init=False)
    markers: list[int] = field(default_factory=lambda: [0] * len(KINDS))

    def __post_init__(self) -> None:
        self.noun = self.rng.choice(NOUNS[self.rng.choice(PRODUCTS)])

    def marker(self, kind: str) -> str:
        """Returns a placeholder of this kind, in most cases a new one."""
        number = KINDS.index(kind)
        if not self.markers[number] or self.rng.random() >= _REPEATED_SHARE:
            self.markers[number] += 1
        return chr(FIRST_MARKER + number * MARKERS + self.markers[number] - 1)

    def tags(self, share: float) -> tuple[str, str] | None:
        """Returns a pair of placeholders to put around words, in this share of the cases."""
        return (self.marker("open"), self.marker("close")) if self.rng.random() < share else None


def kind_of(marker: str) -> str:
    return KINDS[(ord(marker) - FIRST_MARKER) // MARKERS]


def same(text: str) -> Fill:
    return Fill(text, text, text)


def phrase_fill(phrase: Phrase) -> Fill:
    return Fill(phrase.zh, phrase.en, phrase)


def word_fill(context: TextContext, table: str) -> Fill:
    word = context.rng.choice(WORDS[table])
    return Fill(word.zh, word.en, word.de)
