"""Noun phrases and persons in three languages: determiners, adjectives, numbers and German endings.

Knows nothing about verbs or sentences.
"""

from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from training.lexicon import ADJECTIVES, GOODS, NOUNS, WORDS, Adjective, Noun

Case = Literal["nom", "acc", "dat"]

#: German endings by case for masculine, feminine, neuter and plural; ``-`` is none.
_DIES = {"nom": "er e es e", "acc": "en e es e", "dat": "em er em en"}
_EIN = {"nom": "- e - e", "acc": "en e - e", "dat": "em er em en"}
_WEAK = {"nom": "e e e en", "acc": "en e e en", "dat": "en en en en"}
_MIXED = {"nom": "er e es en", "acc": "en e es en", "dat": "en en en en"}
_STRONG = {"nom": "er e es e", "acc": "en e es e", "dat": "em er em en"}


@dataclass(frozen=True)
class Phrase:
    """A noun phrase: its Chinese and English, and the German of each case."""

    zh: str
    en: str
    nom: str
    acc: str
    dat: str
    is_definite: bool = True

    def wrapped(self, opening: str, closing: str) -> "Phrase":
        """The phrase between two placeholders, such as a pair of tags."""
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


@dataclass(frozen=True)
class Determiner:
    zh: str
    en: str
    de: str
    article: dict[str, str] | None
    adjective: dict[str, str]
    has_measure: bool = True
    is_plural: bool = False
    is_definite: bool = True


A = Determiner("一", "a", "ein", _EIN, _MIXED, is_definite=False)
SHOWN = [Determiner("这", "this", "dies", _DIES, _WEAK), Determiner("那", "that", "jen", _DIES, _WEAK)]
_OWNERS = {"我": ("my", "mein"), "你": ("your", "Ihr"), "他": ("his", "sein"), "她": ("her", "ihr")}
_OWNERS |= {"我们": ("our", "unser"), "他们": ("their", "ihr")}
OWNED = [Determiner(f"{zh}的", en, de, _EIN, _MIXED, has_measure=False) for zh, (en, de) in _OWNERS.items()]
SETS = [
    Determiner("这些", "these", "dies", _DIES, _WEAK, has_measure=False, is_plural=True),
    Determiner("那些", "those", "jen", _DIES, _WEAK, has_measure=False, is_plural=True),
    Determiner("所有的", "all", "all", _DIES, _WEAK, has_measure=False, is_plural=True),
]
MANY = Determiner("很多", "many", "viel", _DIES, _STRONG, has_measure=False, is_plural=True, is_definite=False)


def digits(rng: Random, longest: int = 6) -> str:
    """A whole number of 1 to ``longest`` digits, every length equally likely, so that no length is rare."""
    return "".join([rng.choice("123456789"), *(rng.choice("0123456789") for _ in range(rng.randrange(longest)))])


def counting(rng: Random) -> Determiner:
    """A number of things: two to ten as words, or 2 and more in digits."""
    if rng.random() < 0.6:
        word = rng.choice(WORDS["numerals"])
        zh, en, de = word.zh, word.en, word.de
    else:
        number = digits(rng, 4)
        zh = en = de = number if number != "1" else "2"
    return Determiner(zh, en, de, None, _STRONG, is_plural=True, is_definite=False)


def any_determiner(rng: Random, noun: Noun) -> Determiner:
    draw = rng.random()
    if draw < 0.34:
        return A
    if draw < 0.52:
        return counting(rng)
    if draw < 0.72 or noun.kind == "drink":
        return rng.choice(SHOWN)
    if draw < 0.88:
        return rng.choice(OWNED)
    return rng.choice([*SETS, MANY])


def _ending(table: dict[str, str], case: Case, column: int) -> str:
    return table[case].split()[column].strip("-")


def _dative_plural(noun: str) -> str:
    head, space, rest = noun.partition(" ")
    return (head if head[-1] in "ns" else head + "n") + space + rest


def article(word: str) -> str:
    """``a`` or ``an``, by the first letter: no word of the lexicon sounds otherwise."""
    return "an" if word[0] in "aeiou" else "a"


def build(noun: Noun, determiner: Determiner, adjectives: list[Adjective]) -> Phrase:
    """Puts a phrase together; ``adjectives`` stand in English order (quality, size, colour)."""
    column = 3 if determiner.is_plural else "mfn".index(noun.gender)
    words = [adjective.en for adjective in adjectives] + [noun.en_plural if determiner.is_plural else noun.en]
    opening = article(words[0]) if determiner is A else determiner.en

    def german(case: Case) -> str:
        first = determiner.de + (_ending(determiner.article, case, column) if determiner.article else "")
        middle = [adjective.de_stem + _ending(determiner.adjective, case, column) for adjective in adjectives]
        name = noun.de_plural if determiner.is_plural else noun.de
        return " ".join([first, *middle, _dative_plural(name) if determiner.is_plural and case == "dat" else name])

    # Chinese puts the size next to the noun: 漂亮的红色大杯子.
    ordered = sorted(adjectives, key=lambda adjective: (adjective.zh in "大小", not adjective.zh.endswith("的")))
    zh = determiner.zh + (noun.measure if determiner.has_measure else "") + "".join(a.zh for a in ordered) + noun.zh
    en = " ".join([opening, *words])
    return Phrase(zh, en, german("nom"), german("acc"), german("dat"), determiner.is_definite)


def describe(rng: Random, noun: Noun) -> list[Adjective]:
    """No, one or two adjectives that go with the noun."""
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


@dataclass(frozen=True)
class Person:
    """Somebody as a subject; ``he`` and ``er`` name the third person singular of the verbs."""

    phrase: Phrase
    en_person: Literal["I", "he", "they"]
    de_person: Literal["ich", "er", "sie"]


PRONOUNS = [
    Person(Phrase("我", "I", "ich", "mich", "mir"), "I", "ich"),
    Person(Phrase("你", "you", "Sie", "Sie", "Ihnen"), "they", "sie"),
    Person(Phrase("他", "he", "er", "ihn", "ihm"), "he", "er"),
    Person(Phrase("她", "she", "sie", "sie", "ihr"), "he", "er"),
    Person(Phrase("我们", "we", "wir", "uns", "uns"), "they", "sie"),
    Person(Phrase("他们", "they", "sie", "sie", "ihnen"), "they", "sie"),
]


def relative(rng: Random) -> Phrase:
    """``我妈妈``, my mother: kin are owned without 的."""
    owner = rng.choice(OWNED)
    return build(rng.choice(NOUNS["kin"]), replace(owner, zh=owner.zh.removesuffix("的")), [])


def person(rng: Random, name: str | None = None) -> Person:
    """A subject; ``name`` is a placeholder to use for the person's name."""
    if name is not None:
        return Person(Phrase(name, name, name, name, name), "he", "er")
    draw = rng.random()
    if draw < 0.6:
        return rng.choice(PRONOUNS)
    if draw < 0.75:
        return Person(relative(rng), "he", "er")
    if draw < 0.85:
        return Person(build(rng.choice(NOUNS["work"]), rng.choice(SHOWN), []), "he", "er")
    word = rng.choice(WORDS["names"])
    return Person(Phrase(word.zh, word.en, word.de, word.de, word.de), "he", "er")
