"""What fills the slots of the sentence patterns: things, people, quantities, dates and placeholders.

A ``Scene`` is one text as it is put together: it knows the product that its sentences share and hands out placeholders.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import NamedTuple

from training.lexicon import ADJECTIVES, CITIES, NOUNS, PLACES, PRODUCTS, WORDS, Noun
from training.phrase import (
    OWNED,
    SHOWN,
    A,
    Phrase,
    build,
    counting,
    describe,
    digits,
    person,
    relative,
    thing,
)

#: What a placeholder stands for. ``open`` and ``close`` are a pair around words; ``other`` may be anything.
KINDS = ("name", "product", "number", "link", "value", "open", "close", "other")
#: While a text is put together its placeholders are private characters from here on, so many of each kind. They become
#: U+E000, U+E001, … in their order in the source after it.
FIRST_MARKER, MARKERS = 0xE100, 0x200
#: How often a placeholder is one that the text has already, as ``%s`` often is.
_REPEATED_SHARE = 0.15

_UNITS = {
    # name: digits at most; Chinese, English, plural, German, plural, dative plural
    "grams": (5, "克", "gram", "grams", "Gramm", "Gramm", "Gramm"),
    "kilos": (4, "公斤", "kilogram", "kilograms", "Kilogramm", "Kilogramm", "Kilogramm"),
    "length": (4, "厘米", "centimetre", "centimetres", "Zentimeter", "Zentimeter", "Zentimetern"),
    "width": (4, "厘米", "centimetre", "centimetres", "Zentimeter", "Zentimeter", "Zentimetern"),
    "height": (4, "毫米", "millimetre", "millimetres", "Millimeter", "Millimeter", "Millimetern"),
    "kilometres": (4, "公里", "kilometre", "kilometres", "Kilometer", "Kilometer", "Kilometern"),
    "minutes": (3, "分钟", "minute", "minutes", "Minute", "Minuten", "Minuten"),
    "hours": (3, "小时", "hour", "hours", "Stunde", "Stunden", "Stunden"),
    "days": (3, "天", "day", "days", "Tag", "Tage", "Tagen"),
    "years": (2, "年", "year", "years", "Jahr", "Jahre", "Jahren"),
}
_MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


class Fill(NamedTuple):
    zh: str
    en: str
    #: A phrase where the pattern chooses its case.
    de: str | Phrase


@dataclass
class Scene:
    rng: Random
    #: The product that the text is about.
    noun: Noun = field(init=False)
    markers: list[int] = field(default_factory=lambda: [0] * len(KINDS))

    def __post_init__(self) -> None:
        self.noun = self.rng.choice(NOUNS[self.rng.choice(PRODUCTS)])

    def marker(self, kind: str) -> str:
        """A placeholder of its kind: mostly a new one."""
        number = KINDS.index(kind)
        if not self.markers[number] or self.rng.random() >= _REPEATED_SHARE:
            self.markers[number] += 1
        return chr(FIRST_MARKER + number * MARKERS + self.markers[number] - 1)

    def tags(self, share: float) -> tuple[str, str] | None:
        """A pair to put around words, in that share of the cases."""
        return (self.marker("open"), self.marker("close")) if self.rng.random() < share else None


def kind_of(marker: str) -> str:
    return KINDS[(ord(marker) - FIRST_MARKER) // MARKERS]


def _same(text: str) -> Fill:
    return Fill(text, text, text)


def _phrase(phrase: Phrase) -> Fill:
    return Fill(phrase.zh, phrase.en, phrase)


def _word(scene: Scene, table: str) -> Fill:
    word = scene.rng.choice(WORDS[table])
    return Fill(word.zh, word.en, word.de)


def _quantity(scene: Scene, unit: str) -> Fill:
    longest, zh, one, many, de, de_many, de_dative = _UNITS[unit]
    number = digits(scene.rng, longest)
    nom, dative = (de, de) if number == "1" else (de_many, de_dative)
    en = f"{number} {one if number == '1' else many}"
    return _phrase(Phrase(f"{number}{zh}", en, f"{number} {nom}", f"{number} {nom}", f"{number} {dative}"))


def _decimal(rng: Random, longest: int, share: float, places: int) -> str:
    fraction = "".join(rng.choice("0123456789") for _ in range(places))
    return digits(rng, longest) + (f".{fraction}" if rng.random() < share else "")


def _price(scene: Scene) -> Fill:
    if scene.rng.random() < 0.15:
        return _same(scene.marker("value"))
    amount = _decimal(scene.rng, 6, 0.4, 2)
    word = scene.rng.choice(WORDS["currencies"])
    en = word.en.removesuffix("s") if amount == "1" else word.en
    return Fill(f"{amount}{word.zh}", f"{amount} {en}", f"{amount.replace('.', ',')} {word.de}")


def _percent(scene: Scene) -> Fill:
    amount = _decimal(scene.rng, 2, 0.2, 1)
    return Fill(f"{amount}%", f"{amount}%", f"{amount.replace('.', ',')} %")


def _rating(scene: Scene) -> Fill:
    amount = f"{scene.rng.randint(1, 9)}.{scene.rng.randint(0, 9)}"
    return Fill(amount, amount, amount.replace(".", ","))


def _date(scene: Scene) -> Fill:
    month = scene.rng.randrange(12)
    day, word = scene.rng.randint(1, _MONTH_DAYS[month]), WORDS["months"][month]
    if scene.rng.random() < 0.5:
        return Fill(f"{word.zh}{day}日", f"{word.en} {day}", f"{day}. {word.de}")
    year = scene.rng.randint(2020, 2039) if scene.rng.random() < 0.8 else scene.rng.randint(1900, 2099)
    return Fill(f"{year}年{word.zh}{day}日", f"{word.en} {day}, {year}", f"{day}. {word.de} {year}")


def _code(scene: Scene) -> Fill:
    letters = "".join(scene.rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(scene.rng.randint(1, 3)))
    return _same(letters + digits(scene.rng, 4))


def _this(scene: Scene) -> Fill:
    determiner = scene.rng.choice([SHOWN[0], SHOWN[0], SHOWN[0], OWNED[4]])
    phrase = build(scene.noun, determiner, describe(scene.rng, scene.noun) if scene.rng.random() < 0.3 else [])
    tags = scene.tags(0.04)
    return _phrase(phrase.wrapped(*tags) if tags else phrase)


def _it(scene: Scene) -> Fill:
    pronoun = {"m": "ihn", "f": "sie", "n": "es"}[scene.noun.gender]
    return _phrase(Phrase("", "it", "", pronoun, ""))


def _counted(scene: Scene) -> Fill:
    noun = scene.rng.choice(NOUNS[scene.rng.choice(PRODUCTS)])
    return _phrase(build(noun, counting(scene.rng), describe(scene.rng, noun)))


def _quality(scene: Scene, is_more: bool) -> Fill:
    word = scene.rng.choice(ADJECTIVES["quality"])
    return Fill(word.zh_predicate, word.en_more if is_more else word.en, word.de_more if is_more else word.de)


def _colour(scene: Scene) -> Fill:
    word = scene.rng.choice(ADJECTIVES["colour"])
    return Fill(word.zh, word.en, word.de.capitalize())


def _city(scene: Scene) -> Fill:
    word = scene.rng.choice(CITIES)
    return Fill(word.zh, word.en, word.de)


def _place(scene: Scene) -> Fill:
    place = scene.rng.choice(PLACES)
    return Fill(place.zh, place.en, place.de)


def _goal(scene: Scene) -> Fill:
    place = scene.rng.choice(PLACES)
    return Fill(place.zh, place.en_goal, f"{place.de_goal} {place.going}")


def _material(scene: Scene) -> Fill:
    return _word(scene, "fabrics" if scene.noun.kind == "clothes" else "materials")


def _marked(kind: str, share: float, otherwise: Callable[[Scene], Fill]) -> Callable[[Scene], Fill]:
    """A slot that is a placeholder in that share of the cases."""
    return lambda scene: _same(scene.marker(kind)) if scene.rng.random() < share else otherwise(scene)


def _clock(scene: Scene) -> Fill:
    return _same(f"{scene.rng.randint(0, 23)}:{scene.rng.randint(0, 59):02}")


#: A slot is its name here, and may be followed by a digit for another one of its kind in the same sentence.
SLOTS: dict[str, Callable[[Scene], Fill]] = {
    "this": _this,
    "that": lambda scene: _phrase(build(scene.noun, SHOWN[1], [])),
    "noun": lambda scene: Fill(scene.noun.zh, scene.noun.en, build(scene.noun, OWNED[0], [])),
    "it": _it,
    "a": lambda scene: _phrase(build(scene.noun, A, describe(scene.rng, scene.noun))),
    "some": _counted,
    "goods": lambda scene: _phrase(thing(scene.rng)),
    "friend": lambda scene: _phrase(relative(scene.rng)),
    "name": _marked("name", 0.6, lambda scene: _word(scene, "names")),
    "product": _marked("product", 0.7, _code),
    "order": _marked("number", 0.25, lambda scene: _same(digits(scene.rng, 10))),
    "count": _marked("number", 0.25, lambda scene: _same(str(int(digits(scene.rng, 4)) + 1))),
    "phone": _marked("number", 0.25, lambda scene: _same(digits(scene.rng, 11))),
    "link": lambda scene: _same(scene.marker("link")),
    "value": lambda scene: _same(scene.marker("value")),
    "open": lambda scene: _same(scene.marker("open")),
    "close": lambda scene: _same(scene.marker("close")),
    "code": _marked("value", 0.25, _code),
    "model": _code,
    "price": _price,
    "lower": _price,
    "percent": _percent,
    "rating": _rating,
    "temperature": lambda scene: _same(digits(scene.rng, 2)),
    "date": _date,
    "clock": _clock,
    "city": _city,
    "place": _place,
    "goal": _goal,
    "material": _material,
    "colour": _colour,
    "quality": lambda scene: _quality(scene, is_more=False),
    "more": lambda scene: _quality(scene, is_more=True),
    "country": lambda scene: _word(scene, "countries"),
    "audience": lambda scene: _word(scene, "audiences"),
    "feature": lambda scene: _word(scene, "features"),
    "mood": lambda scene: _word(scene, "moods"),
    "weekday": lambda scene: _word(scene, "weekdays"),
    **{unit: partial(_quantity, unit=unit) for unit in _UNITS},
}


def subject_slots(scene: Scene) -> dict[str, Fill]:
    """``person`` and the verbs that agree with it."""
    who = person(scene.rng, scene.marker("name") if scene.rng.random() < 0.15 else None)
    en, de = who.en_person, who.de_person
    return {
        "person": _phrase(who.phrase),
        "be": Fill("", {"I": "am", "he": "is", "they": "are"}[en], {"ich": "bin", "er": "ist", "sie": "sind"}[de]),
        "have": Fill("", "has" if en == "he" else "have", {"ich": "habe", "er": "hat", "sie": "haben"}[de]),
        "like": Fill("", "likes" if en == "he" else "like", {"ich": "mag", "er": "mag", "sie": "mögen"}[de]),
    }
