"""What fills the slots of the sentence patterns."""

from collections.abc import Callable
from functools import partial

from training.grammar import quantity
from training.grammar.determiner import OWNED, SHOWN, A, counting, digits
from training.grammar.lexicon import ADJECTIVES, CITIES, NOUNS, PLACES, PRODUCTS
from training.grammar.person import person, relative
from training.grammar.phrase import Phrase, build, describe, thing
from training.grammar.scene import Fill, Scene, phrase_fill, same, word_fill


def _this(scene: Scene) -> Fill:
    determiner = scene.rng.choice([SHOWN[0], SHOWN[0], SHOWN[0], OWNED[4]])
    phrase = build(scene.noun, determiner, describe(scene.rng, scene.noun) if scene.rng.random() < 0.3 else [])
    tags = scene.tags(0.04)
    return phrase_fill(phrase.wrapped(*tags) if tags else phrase)


def _it(scene: Scene) -> Fill:
    pronoun = {"m": "ihn", "f": "sie", "n": "es"}[scene.noun.gender]
    return phrase_fill(Phrase("", "it", "", pronoun, ""))


def _counted(scene: Scene) -> Fill:
    noun = scene.rng.choice(NOUNS[scene.rng.choice(PRODUCTS)])
    return phrase_fill(build(noun, counting(scene.rng), describe(scene.rng, noun)))


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
    return word_fill(scene, "fabrics" if scene.noun.kind == "clothes" else "materials")


def _marked(kind: str, share: float, otherwise: Callable[[Scene], Fill]) -> Callable[[Scene], Fill]:
    """A slot that is a placeholder in that share of the cases."""
    return lambda scene: same(scene.marker(kind)) if scene.rng.random() < share else otherwise(scene)


#: A slot is its name here, and may be followed by a digit for another one of its kind in the same sentence.
SLOTS: dict[str, Callable[[Scene], Fill]] = {
    "this": _this,
    "that": lambda scene: phrase_fill(build(scene.noun, SHOWN[1], [])),
    "noun": lambda scene: Fill(scene.noun.zh, scene.noun.en, build(scene.noun, OWNED[0], [])),
    "it": _it,
    "a": lambda scene: phrase_fill(build(scene.noun, A, describe(scene.rng, scene.noun))),
    "some": _counted,
    "goods": lambda scene: phrase_fill(thing(scene.rng)),
    "friend": lambda scene: phrase_fill(relative(scene.rng)),
    "name": _marked("name", 0.6, lambda scene: word_fill(scene, "names")),
    "product": _marked("product", 0.7, quantity.code),
    "order": _marked("number", 0.25, lambda scene: same(digits(scene.rng, 10))),
    "count": _marked("number", 0.25, lambda scene: same(str(int(digits(scene.rng, 4)) + 1))),
    "phone": _marked("number", 0.25, lambda scene: same(digits(scene.rng, 11))),
    "link": lambda scene: same(scene.marker("link")),
    "value": lambda scene: same(scene.marker("value")),
    "open": lambda scene: same(scene.marker("open")),
    "close": lambda scene: same(scene.marker("close")),
    "code": _marked("value", 0.25, quantity.code),
    "model": quantity.code,
    "price": quantity.price,
    "lower": quantity.price,
    "percent": quantity.percent,
    "rating": quantity.rating,
    "temperature": lambda scene: same(digits(scene.rng, 2)),
    "date": quantity.date,
    "clock": quantity.clock,
    "city": _city,
    "place": _place,
    "goal": _goal,
    "material": _material,
    "colour": _colour,
    "quality": lambda scene: _quality(scene, is_more=False),
    "more": lambda scene: _quality(scene, is_more=True),
    "country": lambda scene: word_fill(scene, "countries"),
    "audience": lambda scene: word_fill(scene, "audiences"),
    "feature": lambda scene: word_fill(scene, "features"),
    "mood": lambda scene: word_fill(scene, "moods"),
    "weekday": lambda scene: word_fill(scene, "weekdays"),
    **{unit: partial(quantity.quantity, unit=unit) for unit in quantity.UNITS},
}


def subject_slots(scene: Scene) -> dict[str, Fill]:
    """``person`` and the verbs that agree with it."""
    who = person(scene.rng, scene.marker("name") if scene.rng.random() < 0.15 else None)
    en, de = who.en_person, who.de_person
    return {
        "person": phrase_fill(who.phrase),
        "be": Fill("", {"I": "am", "he": "is", "they": "are"}[en], {"ich": "bin", "er": "ist", "sie": "sind"}[de]),
        "have": Fill("", "has" if en == "he" else "have", {"ich": "habe", "er": "hat", "sie": "haben"}[de]),
        "like": Fill("", "likes" if en == "he" else "like", {"ich": "mag", "er": "mag", "sie": "mögen"}[de]),
    }
