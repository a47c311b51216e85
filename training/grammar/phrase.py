"""Noun phrases in three languages. This module does not know verbs or sentences."""

from dataclasses import dataclass
from random import Random

from training.grammar.determiner import A, Case, Determiner, any_determiner, ending
from training.grammar.lexicon import ADJECTIVES, GOODS, NOUNS, Adjective, Noun


@dataclass(frozen=True)
class Phrase:
    """A noun phrase in Chinese, in English, and in German in each case."""

    zh: str
    en: str
    nom: str
    acc: str
    dat: str
    is_definite: bool = True

    def wrapped(self, opening: str, closing: str) -> "Phrase":
        """Returns the phrase between two placeholders, such as a pair of tags."""
        zh, en, nom, acc, dat = (
            f"{opening}{text}{closing}" for text in (self.zh, self.en, self.nom, self.acc, self.dat)
        )
        return Phrase(zh, en, nom, acc, dat, self.is_definite)

    def __add__(self, other: "Phrase") -> "Phrase":
        return Phrase(
            f"{self.zh}和{other.zh}",
            f"{self.en} and {other.en}",
            f"{self.nom} und {other.nom}",
            f"{self.acc} und {other.acc}",
            f"{self.dat} und {other.dat}",
            self.is_definite and other.is_definite,
        )


def _dative_plural(noun: str) -> str:
    first, space, rest = noun.partition(" ")
    return (first if first[-1] in "ns" else first + "n") + space + rest


def article(word: str) -> str:
    """Returns ``a`` or ``an``. The first letter decides, because the lexicon has no word that sounds otherwise."""
    return "an" if word[0] in "aeiou" else "a"


def build(noun: Noun, determiner: Determiner, adjectives: list[Adjective]) -> Phrase:
    """Builds a phrase. ``adjectives`` are in English order (quality, size, colour)."""
    column = 3 if determiner.is_plural else "mfn".index(noun.gender)
    words = [adjective.en for adjective in adjectives] + [noun.en_plural if determiner.is_plural else noun.en]
    opening = article(words[0]) if determiner is A else determiner.en

    def german(case: Case) -> str:
        first = determiner.de + (ending(determiner.article, case, column) if determiner.article else "")
        middle = [adjective.de_stem + ending(determiner.adjective, case, column) for adjective in adjectives]
        name = noun.de_plural if determiner.is_plural else noun.de
        return " ".join([first, *middle, _dative_plural(name) if determiner.is_plural and case == "dat" else name])

    # Chinese puts the size next to the noun: 漂亮的红色大杯子.
    ordered = sorted(adjectives, key=lambda adjective: (adjective.zh in "大小", not adjective.zh.endswith("的")))
    zh = determiner.zh + (noun.measure if determiner.has_measure else "") + "".join(a.zh for a in ordered) + noun.zh
    en = " ".join([opening, *words])
    return Phrase(zh, en, german("nom"), german("acc"), german("dat"), determiner.is_definite)


def describe(rng: Random, noun: Noun) -> list[Adjective]:
    """Draws none, one or two adjectives that fit the noun."""
    if noun.kind in ("drink", "kin", "work"):
        return []
    kinds = ["taste", "size"] if noun.kind == "food" else ["quality", "size", "colour"]
    if noun.kind == "reading":
        kinds = ["quality", "size"]
    chosen = rng.choices([0, 1, 2], [0.5, 0.35, 0.15])[0]
    return [rng.choice(ADJECTIVES[kind]) for kind in sorted(rng.sample(kinds, chosen), key=kinds.index)]


def thing(rng: Random, kinds: tuple[str, ...] = GOODS) -> Phrase:
    noun = rng.choice(NOUNS[rng.choice(kinds)])
    return build(noun, any_determiner(rng, noun), describe(rng, noun))
