"""The moderation corpus: comments of 1 to 8 sentences in Chinese or English, with their labels.

Most sentences of a harmful comment are harmless, so the model must find one sentence among others. As in the
translation corpus, a hash decides which sentences are held out.
"""

import re
import tomllib
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from training.corpus import HELD_OUT_SHARE, MARKER, draw_sentence
from training.grammar.sentence import PATTERNS, capitalised

LABELS = ("harassment", "hate", "self-harm", "sexual", "violence", "illicit", "spam")
LANGUAGES = ("zh", "en")

_TABLES: dict[str, Any] = tomllib.loads(Path(__file__).with_name("comments.toml").read_text("utf-8"))
_SLOT = re.compile(r"\{(\w+)\}")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")
#: A shop's sentences without slots. Training and held-out comments share them.
_SET_PHRASE = re.compile(
    "|".join(
        re.escape(text) for topic in PATTERNS.values() for one in topic for text in (one.zh, one.en) if "{" not in text
    )
)
#: Weights for 0, 1, 2, … harmful sentences in a comment, and for as many harmless ones.
_HARMFUL, _HARMLESS = (40, 38, 16, 6), (30, 22, 16, 12, 10, 6, 4)
#: The share of harmless sentences that come from the translation corpus: a shop's sentences.
_SHOP_SHARE = 0.35
_LONG_SHARE = 0.03


class Comment(NamedTuple):
    text: str
    labels: frozenset[str]


def is_held_out(sentence: str) -> bool:
    return zlib.crc32(sentence.encode()) % HELD_OUT_SHARE == 0


def _fill(rng: Random, language: str, labels: str) -> str:
    slots: dict[str, list[str]] = _TABLES["slots"][language]
    pattern = rng.choice(_TABLES[language][labels])
    text = _SLOT.sub(lambda slot: rng.choice(slots[slot[1]]), pattern)
    return text if language == "zh" else capitalised(_ARTICLE.sub(r"\1n ", text))


def _shop_sentence(rng: Random, language: str, held_out: bool) -> str:
    """Draws from the translation corpus, without placeholders. Both sides share the set phrases."""
    while True:
        sentence = draw_sentence(rng)
        text = sentence.zh if language == "zh" else sentence.en
        if not MARKER.search(text) and (sentence.is_fixed or is_held_out(text) == held_out):
            return text


def _draw_on_side(rng: Random, language: str, labels: str, held_out: bool) -> str:
    if labels == "harmless" and rng.random() < _SHOP_SHARE:
        return _shop_sentence(rng, language, held_out)
    while True:
        text = _fill(rng, language, labels)
        if is_held_out(text) == held_out:
            return text


def draw_comment(rng: Random, held_out: bool = False) -> Comment:
    language = rng.choice(LANGUAGES)
    kinds = [kind for kind in _TABLES[language] if kind != "harmless"]
    harmful = rng.choices(kinds, [3 if kind in LABELS else 1 for kind in kinds], k=rng.choices(range(4), _HARMFUL)[0])
    harmless = rng.choices(range(7), _HARMLESS)[0]
    if rng.random() < _LONG_SHARE and not held_out:
        harmless = rng.randint(8, 30)
    chosen = harmful + ["harmless"] * min(harmless, 8 - len(harmful) if harmless < 8 else harmless)
    chosen = chosen or ["harmless"]
    rng.shuffle(chosen)
    sentences = [_draw_on_side(rng, language, kind, held_out) for kind in chosen]
    labels = frozenset(label for kind in harmful for label in kind.split("+"))
    return Comment(("" if language == "zh" else " ").join(sentences), labels)


def training_comments(seed: int) -> Iterator[Comment]:
    """Yields comments without end. A few are much longer than held-out ones, to train every position of the model."""
    rng = Random(seed)
    while True:
        yield draw_comment(rng)


def held_out_comments(seed: int, count: int) -> list[Comment]:
    """Returns ``count`` distinct comments of sentences that training never sees.

    They may contain set phrases, which training sees too, but never consist of set phrases alone.
    """
    rng = Random(seed)
    found: dict[str, Comment] = {}
    while len(found) < count:
        comment = draw_comment(rng, held_out=True)
        if _SET_PHRASE.sub("", comment.text).strip():
            found.setdefault(comment.text, comment)
    return list(found.values())
