"""Fills the slots of the sentence patterns."""

from collections.abc import Callable
from functools import partial

from training.grammar import quantity
from training.grammar.context import Fill, TextContext, phrase_fill, same, word_fill
from training.grammar.determiner import OWNED, SHOWN, A, counting, digits
from training.grammar.lexicon import ADJECTIVES, CITIES, NOUNS, PLACES, PRODUCTS
from training.grammar.person import person, relative
from training.grammar.phrase import Phrase, build, describe, thing


def _this(context: TextContext) -> Fill:
    determiner = context.rng.choice([SHOWN[0], SHOWN[0], SHOWN[0], OWNED[4]])
    phrase = build(context.noun, determiner, describe(context.rng, context.noun) if context.rng.random() < 0.3 else [])
    tags = context.tags(0.04)
    return phrase_fill(phrase.wrapped(*tags) if tags else phrase)


def _it(context: TextContext) -> Fill:
    pronoun = {"m": "ihn", "f": "sie", "n": "es"}[context.noun.gender]
    return phrase_fill(Phrase("", "it", "", pronoun, ""))


def _counted(context: TextContext) -> Fill:
    noun = context.rng.choice(NOUNS[context.rng.choice(PRODUCTS)])
    return phrase_fill(build(noun, counting(context.rng), describe(context.rng, noun)))


def _quality(context: TextContext, is_more: bool) -> Fill:
    word = context.rng.choice(ADJECTIVES["quality"])
    return Fill(word.zh_predicate, word.en_more if is_more else word.en, word.de_more if is_more else word.de)


def _colour(context: TextContext) -> Fill:
    word = context.rng.choice(ADJECTIVES["colour"])
    return Fill(word.zh, word.en, word.de.capitalize())


def _city(context: TextContext) -> Fill:
    word = context.rng.choice(CITIES)
    return Fill(word.zh, word.en, word.de)


def _place(context: TextContext) -> Fill:
    place = context.rng.choice(PLACES)
    return Fill(place.zh, place.en, place.de)


def _goal(context: TextContext) -> Fill:
    place = context.rng.choice(PLACES)
    return Fill(place.zh, place.en_goal, f"{place.de_goal} {place.going}")


def _material(context: TextContext) -> Fill:
    return word_fill(context, "fabrics" if context.noun.kind == "clothes" else "materials")


def _marked(kind: str, share: float, otherwise: Callable[[TextContext], Fill]) -> Callable[[TextContext], Fill]:
    """Makes a slot that is a placeholder in this share of the cases."""
    return lambda context: same(context.marker(kind)) if context.rng.random() < share else otherwise(context)


#: A function for each slot, by its name. In a pattern, a digit after the name asks for another fill of the same kind.
SLOTS: dict[str, Callable[[TextContext], Fill]] = {
    "this": _this,
    "that": lambda context: phrase_fill(build(context.noun, SHOWN[1], [])),
    "noun": lambda context: Fill(context.noun.zh, context.noun.en, build(context.noun, OWNED[0], [])),
    "it": _it,
    "a": lambda context: phrase_fill(build(context.noun, A, describe(context.rng, context.noun))),
    "some": _counted,
    "goods": lambda context: phrase_fill(thing(context.rng)),
    "friend": lambda context: phrase_fill(relative(context.rng)),
    "name": _marked("name", 0.6, lambda context: word_fill(context, "names")),
    "product": _marked("product", 0.7, quantity.code),
    "order": _marked("number", 0.25, lambda context: same(digits(context.rng, 10))),
    "count": _marked("number", 0.25, lambda context: same(str(int(digits(context.rng, 4)) + 1))),
    "phone": _marked("number", 0.25, lambda context: same(digits(context.rng, 11))),
    "link": lambda context: same(context.marker("link")),
    "value": lambda context: same(context.marker("value")),
    "open": lambda context: same(context.marker("open")),
    "close": lambda context: same(context.marker("close")),
    "code": _marked("value", 0.25, quantity.code),
    "model": quantity.code,
    "price": quantity.price,
    "lower": quantity.price,
    "percent": quantity.percent,
    "rating": quantity.rating,
    "temperature": lambda context: same(digits(context.rng, 2)),
    "date": quantity.date,
    "clock": quantity.clock,
    "city": _city,
    "place": _place,
    "goal": _goal,
    "material": _material,
    "colour": _colour,
    "quality": lambda context: _quality(context, is_more=False),
    "more": lambda context: _quality(context, is_more=True),
    "country": lambda context: word_fill(context, "countries"),
    "audience": lambda context: word_fill(context, "audiences"),
    "feature": lambda context: word_fill(context, "features"),
    "mood": lambda context: word_fill(context, "moods"),
    "weekday": lambda context: word_fill(context, "weekdays"),
    **{unit: partial(quantity.quantity, unit=unit) for unit in quantity.UNITS},
}


def subject_slots(context: TextContext) -> dict[str, Fill]:
    """Draws ``person`` and the forms of the verbs that agree with it."""
    who = person(context.rng, context.marker("name") if context.rng.random() < 0.15 else None)
    en, de = who.en_person, who.de_person
    return {
        "person": phrase_fill(who.phrase),
        "be": Fill("", {"I": "am", "he": "is", "they": "are"}[en], {"ich": "bin", "er": "ist", "sie": "sind"}[de]),
        "have": Fill("", "has" if en == "he" else "have", {"ich": "habe", "er": "hat", "sie": "haben"}[de]),
        "like": Fill("", "likes" if en == "he" else "like", {"ich": "mag", "er": "mag", "sie": "mögen"}[de]),
    }
