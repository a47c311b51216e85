"""Clauses: somebody does something, in thirteen tenses and moods and three languages.

A German clause keeps its parts apart, since its word order depends on what is built around it.
"""

from dataclasses import dataclass
from random import Random

from training.lexicon import GOODS, PLACES, VERBS, WORDS, Place, Verb, Word
from training.phrase import Person, Phrase, relative, thing

_BE = {"I": "am", "he": "is", "they": "are"}
_HAVE = {"I": "have", "he": "has", "they": "have"}
_DO = {"I": "do", "he": "does", "they": "do"}
_GERMAN = {
    "haben": {"ich": "habe", "er": "hat", "sie": "haben"},
    "sein": {"ich": "bin", "er": "ist", "sie": "sind"},
    "werden": {"ich": "werde", "er": "wird", "sie": "werden"},
    "können": {"ich": "kann", "er": "kann", "sie": "können"},
    "müssen": {"ich": "muss", "er": "muss", "sie": "müssen"},
    "möchte": {"ich": "möchte", "er": "möchte", "sie": "möchten"},
    "sollte": {"ich": "sollte", "er": "sollte", "sie": "sollten"},
}
_GOING = {
    "gehen": Verb("去", "go", "goes", "went", "gone", "going", "gehen", "gehe", "geht", "gegangen", ""),
    "fahren": Verb("去", "go", "goes", "went", "gone", "going", "fahren", "fahre", "fährt", "gefahren", ""),
}


def words(*parts: str) -> str:
    return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class German:
    subject: str
    finite: str
    middle: str
    end: str
    #: The end is the finite verb's separable prefix: one word with it where the verb comes last.
    is_prefix: bool = False

    def main(self) -> str:
        return words(self.subject, self.finite, self.middle, self.end)

    def verb_first(self) -> str:
        """Questions, and main clauses that something else precedes."""
        return words(self.finite, self.subject, self.middle, self.end)

    def verb_last(self) -> str:
        verb = self.end + self.finite if self.is_prefix else words(self.end, self.finite)
        return words(self.subject, self.middle, verb)


@dataclass(frozen=True)
class Clause:
    """``zh`` is the subject and the rest, so that question words fit between; nothing is capitalised yet."""

    zh: tuple[str, str]
    en: str
    en_question: str
    de: German


@dataclass(frozen=True)
class Action:
    """What is done: the verb and its surroundings, without subject and tense."""

    verb: Verb
    object: Phrase | None = None
    place: Place | None = None
    goal: Place | None = None
    friend: Phrase | None = None
    time: Word | None = None

    def zh(self, before: str, after: str) -> str:
        friend = f"给{self.friend.zh}" if self.friend else ""
        place = f"在{self.place.zh}" if self.place else ""
        to = self.object.zh if self.object else self.goal.zh if self.goal else ""
        said = (self.time.zh if self.time else "") + before + friend + place + self.verb.zh + after + to
        return said.replace("正在在", "正在")

    def en(self) -> str:
        return words(
            self.object.en if self.object else "",
            self.goal.en_goal if self.goal else "",
            f"for {self.friend.en}" if self.friend else "",
            self.place.en if self.place else "",
            self.time.en if self.time else "",
        )

    def de(self, first: str = "", last: str = "") -> str:
        """The middle field, between the two parts of the verb."""
        return words(
            first,
            self.time.de if self.time else "",
            self.place.de if self.place else "",
            f"für {self.friend.acc}" if self.friend else "",
            self.object.acc if self.object else "",
            last,
            self.goal.de_goal if self.goal else "",
        )


@dataclass(frozen=True)
class Mood:
    """A modal verb, the future or a negation of one: everything that takes the infinitive."""

    zh: str
    en: str
    de: str
    is_negative: bool = False


MOODS = [
    Mood("会", "will", "werden"),
    Mood("不会", "will not", "werden", True),
    Mood("能", "can", "können"),
    Mood("不能", "cannot", "können", True),
    Mood("必须", "must", "müssen"),
    Mood("不用", "do not have to", "müssen", True),
    Mood("想", "would like to", "möchte"),
    Mood("不想", "do not want to", "möchte", True),
    Mood("应该", "should", "sollte"),
    Mood("不应该", "should not", "sollte", True),
]
#: Moods that make a sensible yes-or-no question.
ASKED = [mood for mood in MOODS if mood.zh in ("会", "能", "想", "应该")]


def in_mood(subject: Person, action: Action, mood: Mood) -> Clause:
    verb, who = action.verb, subject.phrase
    auxiliary, _, rest = mood.en.partition(" ")
    auxiliary = _DO[subject.en_person] if auxiliary == "do" else auxiliary
    return Clause(
        (who.zh, action.zh(mood.zh, "")),
        words(who.en, auxiliary, rest, verb.en, action.en()),
        words(auxiliary, who.en, rest, verb.en, action.en()),
        German(
            who.nom,
            _GERMAN[mood.de][subject.de_person],
            action.de(last="nicht" if mood.is_negative else ""),
            verb.de_prefix + verb.de,
        ),
    )


def in_past(subject: Person, action: Action, kind: str = "plain") -> Clause:
    """``kind`` is ``plain`` (bought), ``already`` (has already bought) or ``negative`` (did not buy)."""
    verb, who = action.verb, subject.phrase
    have = _HAVE[subject.en_person]
    before, after, last = {
        "plain": ("", "了", ""),
        "already": ("已经", "了", "schon"),
        "negative": ("没有", "", "nicht"),
    }[kind]
    # ``schon`` follows what is known and precedes what is new.
    is_early = kind == "already" and action.object is not None and not action.object.is_definite
    said = {
        "plain": (verb.en_past, f"did {who.en} {verb.en}"),
        "already": (f"{have} already {verb.en_participle}", f"{have} {who.en} already {verb.en_participle}"),
        "negative": (f"did not {verb.en}", f"did {who.en} not {verb.en}"),
    }[kind]
    return Clause(
        (who.zh, action.zh(before, after)),
        words(who.en, said[0], action.en()),
        words(said[1], action.en()),
        German(
            who.nom,
            _GERMAN["sein" if action.goal else "haben"][subject.de_person],
            action.de(first="schon", last="") if is_early else action.de(last=last),
            verb.de_prefix + verb.de_participle,
        ),
    )


def _present_german(subject: Person, action: Action, first: str = "", last: str = "") -> German:
    verb = action.verb
    finite = {"ich": verb.de_ich, "er": verb.de_er, "sie": verb.de}[subject.de_person]
    return German(subject.phrase.nom, finite, action.de(first, last), verb.de_prefix, bool(verb.de_prefix))


def now(subject: Person, action: Action) -> Clause:
    """正在: is doing."""
    who, be = subject.phrase, _BE[subject.en_person]
    return Clause(
        (who.zh, action.zh("正在", "")),
        words(who.en, be, action.verb.en_ing, action.en()),
        words(be, who.en, action.verb.en_ing, action.en()),
        _present_german(subject, action, first="gerade"),
    )


def present(subject: Person, action: Action, adverb: Word | None = None, is_negative: bool = False) -> Clause:
    """The simple present; ``adverb`` is one of frequency, which English puts before the verb."""
    verb, who, do = action.verb, subject.phrase, _DO[subject.en_person]
    said = f"{do} not {verb.en}" if is_negative else verb.en_third if subject.en_person == "he" else verb.en
    often = adverb.en if adverb else ""
    return Clause(
        (who.zh, (adverb.zh if adverb else "") + action.zh("不" if is_negative else "", "")),
        words(who.en, often, said, action.en()),
        words(do, who.en, "not" if is_negative else "", often, verb.en, action.en()),
        _present_german(subject, action, adverb.de if adverb else "", "nicht" if is_negative else ""),
    )


def draw_action(
    rng: Random, times: str | None = None, tags: tuple[str, str] | None = None, is_definite: bool = False
) -> Action:
    """An activity; ``times`` names the adverbs it may have, ``tags`` are placeholders to put around its object."""
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
    """Under a negation the object has to be definite: German has another negation for the others."""
    while True:
        phrase = thing(rng, kinds)
        if phrase.is_definite or not is_definite:
            return phrase


def draw_clause(rng: Random, subject: Person, tags: tuple[str, str] | None = None) -> Clause:
    """A statement in any tense or mood."""
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
