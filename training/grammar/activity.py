"""Draws random actions and statements. Verbs get objects that make sense with them."""

from random import Random

from training.grammar.clause import Action, Clause
from training.grammar.lexicon import GOODS, PLACES, VERBS, WORDS, Verb
from training.grammar.person import Person, relative
from training.grammar.phrase import Phrase, thing
from training.grammar.tense import MOODS, in_mood, in_past, now, present

_GOING = {
    "gehen": Verb("去", "go", "goes", "went", "gone", "going", "gehen", "gehe", "geht", "gegangen", ""),
    "fahren": Verb("去", "go", "goes", "went", "gone", "going", "fahren", "fahre", "fährt", "gefahren", ""),
}


def draw_action(
    rng: Random, times: str | None = None, tags: tuple[str, str] | None = None, is_definite: bool = False
) -> Action:
    """Draws an action. ``times`` names the adverbs that it may have; ``tags`` are placeholders around its object."""
    time = rng.choice(WORDS[times]) if times and rng.random() < 0.5 else None
    place = rng.choice(PLACES) if rng.random() < 0.2 else None
    draw = rng.random()
    if tags is None and draw < 0.12:
        return Action(rng.choice(VERBS["alone"]), place=place, time=time)
    if tags is None and draw < 0.2:
        goal = rng.choice(PLACES)
        return Action(_GOING[goal.going], goal=goal, time=time)
    kind = rng.choice(["any", "any", "any", *GOODS])
    verb = rng.choice(VERBS[kind])
    phrase = draw_object(rng, GOODS if kind == "any" else (kind,), is_definite)
    if not is_definite and kind != "drink" and rng.random() < 0.08:
        phrase += thing(rng, GOODS if kind == "any" else (kind,))
    friend = relative(rng) if verb.zh in ("买", "订购", "找", "画", "包装") and rng.random() < 0.15 else None
    return Action(verb, phrase.wrapped(*tags) if tags else phrase, place, None, friend, time)


def draw_object(rng: Random, kinds: tuple[str, ...], is_definite: bool) -> Phrase:
    """Draws an object. Under a negation it must be definite, because German negates indefinite objects differently."""
    while True:
        phrase = thing(rng, kinds)
        if phrase.is_definite or not is_definite:
            return phrase


def draw_clause(rng: Random, subject: Person, tags: tuple[str, str] | None = None) -> Clause:
    """Draws a statement in any tense or mood."""
    draw = rng.random()
    if draw < 0.3:
        kind = rng.choice(["plain", "plain", "plain", "negative", "already"])
        action = draw_action(rng, None if kind == "already" else "past", tags, kind == "negative")
        return in_past(subject, action, kind)
    if draw < 0.68:
        mood = rng.choice(MOODS)
        return in_mood(subject, draw_action(rng, "future", tags, mood.is_negative), mood)
    if draw < 0.78:
        return now(subject, draw_action(rng, None, tags))
    if draw < 0.84:
        return present(subject, draw_action(rng, None, tags), rng.choice(WORDS["often"]))
    is_negative = rng.random() < 0.3
    phrase = draw_object(rng, GOODS, is_negative)
    phrase = phrase.wrapped(*tags) if tags else phrase
    if draw < 0.9:
        return present(subject, Action(rng.choice(VERBS["state"]), phrase), is_negative=is_negative)
    if draw < 0.95:
        return in_past(subject, Action(rng.choice(VERBS["event"]), phrase), "negative" if is_negative else "plain")
    action = draw_action(rng, None, tags)
    return present(subject, Action(**(vars(action) | {"time": rng.choice(WORDS["every"])})))
