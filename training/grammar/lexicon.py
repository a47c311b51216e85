"""The words of ``words.toml`` as typed rows. This module does not know how they inflect or combine."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

_TABLES: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_name("words.toml").read_text("utf-8"))


@dataclass(frozen=True)
class Noun:
    kind: str
    zh: str
    measure: str
    en: str
    en_plural: str
    de: str
    #: ``m``, ``f`` or ``n``
    gender: str
    de_plural: str


@dataclass(frozen=True)
class Adjective:
    zh: str
    zh_predicate: str
    en: str
    en_more: str
    de: str
    #: The stem to which endings are added: ``teur`` of ``teuer``.
    de_stem: str
    de_more: str


@dataclass(frozen=True)
class Verb:
    zh: str
    en: str
    en_third: str
    en_past: str
    en_participle: str
    #: Empty for verbs without a progressive form, because they do not describe an activity.
    en_ing: str
    de: str
    de_ich: str
    de_er: str
    de_participle: str
    #: The separable prefix. The other German forms do not contain it.
    de_prefix: str


@dataclass(frozen=True)
class PlacePhrase:
    zh: str
    en: str
    en_goal: str
    de: str
    de_goal: str
    #: The German verb for going there: ``gehen`` or ``fahren``.
    going: str


@dataclass(frozen=True)
class Word:
    """A word or idiom that never inflects."""

    zh: str
    en: str
    de: str


def _rows(section: str, name: str) -> list[list[str]]:
    lines = _TABLES[section][name].strip().splitlines()
    return [[cell.strip() for cell in line.split(",")] for line in lines]


NOUNS = {kind: [Noun(kind, *row) for row in _rows("nouns", kind)] for kind in _TABLES["nouns"]}
ADJECTIVES = {kind: [Adjective(*row) for row in _rows("adjectives", kind)] for kind in _TABLES["adjectives"]}
VERBS = {kind: [Verb(*row) for row in _rows("verbs", kind)] for kind in _TABLES["verbs"]}
WORDS = {name: [Word(*row) for row in _rows("small", name)] for name in _TABLES["small"]}
CITIES = [Word(*row) for row in _rows("places", "cities")]
PLACES = [PlacePhrase(*row) for row in _rows("places", "indoors")] + [
    PlacePhrase(city.zh, f"in {city.en}", f"to {city.en}", f"in {city.de}", f"nach {city.de}", "fahren")
    for city in CITIES
]

#: Kinds of noun that people buy, and those that a shop describes by colour, size and material.
GOODS = ("food", "drink", "clothes", "reading", "furniture", "household", "device")
PRODUCTS = ("clothes", "furniture", "household", "device")
