"""Articles, possessives and numbers, with their own German endings and those of the adjectives after them."""

from dataclasses import dataclass
from random import Random
from typing import Literal

from training.grammar.lexicon import WORDS, Noun

Case = Literal["nom", "acc", "dat"]

#: German endings by case, for masculine, feminine, neuter and plural. ``-`` means no ending.
_DIES = {"nom": "er e es e", "acc": "en e es e", "dat": "em er em en"}
_EIN = {"nom": "- e - e", "acc": "en e - e", "dat": "em er em en"}
_WEAK = {"nom": "e e e en", "acc": "en e e en", "dat": "en en en en"}
_MIXED = {"nom": "er e es en", "acc": "en e es en", "dat": "en en en en"}
_STRONG = {"nom": "er e es e", "acc": "en e es e", "dat": "em er em en"}


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
    """Draws a whole number of 1 to ``longest`` digits. Every length is equally likely, so that no length is rare."""
    return "".join([rng.choice("123456789"), *(rng.choice("0123456789") for _ in range(rng.randrange(longest)))])


def counting(rng: Random) -> Determiner:
    """Draws a number of things: two to ten as words, or 2 and more in digits."""
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


def ending(table: dict[str, str], case: Case, column: int) -> str:
    return table[case].split()[column].strip("-")
