"""Thirteen tenses and moods. Each turns a subject and an action into a clause in every language."""

from dataclasses import dataclass

from training.grammar.clause import Action, Clause, GermanClause, words
from training.grammar.lexicon import Word
from training.grammar.person import Person

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


@dataclass(frozen=True)
class Mood:
    """A modal verb or the future, possibly negated: everything that is followed by the infinitive."""

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
#: Moods that make sense in a yes-or-no question.
ASKED = [mood for mood in MOODS if mood.zh in ("会", "能", "想", "应该")]


def in_mood(subject: Person, action: Action, mood: Mood) -> Clause:
    verb, who = action.verb, subject.phrase
    auxiliary, _, rest = mood.en.partition(" ")
    auxiliary = _DO[subject.en_person] if auxiliary == "do" else auxiliary
    return Clause(
        (who.zh, action.zh(mood.zh, "")),
        words(who.en, auxiliary, rest, verb.en, action.en()),
        words(auxiliary, who.en, rest, verb.en, action.en()),
        GermanClause(
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
    # ``schon`` stands after a definite object and before an indefinite one.
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
        GermanClause(
            who.nom,
            _GERMAN["sein" if action.goal else "haben"][subject.de_person],
            action.de(first="schon", last="") if is_early else action.de(last=last),
            verb.de_prefix + verb.de_participle,
        ),
    )


def _present_german(subject: Person, action: Action, first: str = "", last: str = "") -> GermanClause:
    verb = action.verb
    finite = {"ich": verb.de_ich, "er": verb.de_er, "sie": verb.de}[subject.de_person]
    return GermanClause(subject.phrase.nom, finite, action.de(first, last), verb.de_prefix, bool(verb.de_prefix))


def now(subject: Person, action: Action) -> Clause:
    """Builds the present progressive: 正在, ``is doing``, ``gerade``."""
    who, be = subject.phrase, _BE[subject.en_person]
    return Clause(
        (who.zh, action.zh("正在", "")),
        words(who.en, be, action.verb.en_ing, action.en()),
        words(be, who.en, action.verb.en_ing, action.en()),
        _present_german(subject, action, first="gerade"),
    )


def present(subject: Person, action: Action, adverb: Word | None = None, is_negative: bool = False) -> Clause:
    """Builds the simple present. ``adverb`` is an adverb of frequency; English puts it before the verb."""
    verb, who, do = action.verb, subject.phrase, _DO[subject.en_person]
    said = f"{do} not {verb.en}" if is_negative else verb.en_third if subject.en_person == "he" else verb.en
    often = adverb.en if adverb else ""
    return Clause(
        (who.zh, (adverb.zh if adverb else "") + action.zh("不" if is_negative else "", "")),
        words(who.en, often, said, action.en()),
        words(do, who.en, "not" if is_negative else "", often, verb.en, action.en()),
        _present_german(subject, action, adverb.de if adverb else "", "nicht" if is_negative else ""),
    )
