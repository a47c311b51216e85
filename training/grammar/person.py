"""Persons: pronouns, relatives, professions and names, as subjects and in every case."""

from dataclasses import dataclass, replace
from random import Random
from typing import Literal

from training.grammar.determiner import OWNED, SHOWN
from training.grammar.lexicon import NOUNS, WORDS
from training.grammar.phrase import Phrase, build


@dataclass(frozen=True)
class Person:
    """A person as a subject. ``he`` and ``er`` stand for the verbs' third person singular."""

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
    """Draws a relative, such as ``我妈妈`` (my mother). Chinese omits 的 between owner and relative."""
    owner = rng.choice(OWNED)
    return build(rng.choice(NOUNS["kin"]), replace(owner, zh=owner.zh.removesuffix("的")), [])


def person(rng: Random, name: str | None = None) -> Person:
    """Draws a subject. ``name`` is a placeholder to use as the person's name."""
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
