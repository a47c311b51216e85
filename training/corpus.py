"""The translation corpus: texts of 1 to 8 sentences, seeded and endless, as (direction, source, target) by sentence.

The worker translates a text sentence by sentence, so that is what the model is trained on; the placeholders are
numbered through the whole text.

Training and held-out texts never share a sentence: which side a sentence is on is decided by a hash of its English,
so that no list of seen sentences has to be kept. Set phrases (``Hello!``) are few and on both sides, but no held-out
text is made of them alone.
"""

import re
import zlib
from collections.abc import Iterator
from random import Random
from typing import Literal, NamedTuple

from training.grammar.context import FIRST_MARKER, KINDS, MARKERS, TextContext
from training.grammar.sentence import PATTERNS, Pattern, Sentence
from training.grammar.spoken import draw_spoken

Direction = Literal["zh-en", "en-de"]
DIRECTIONS: tuple[Direction, ...] = ("zh-en", "en-de")

#: Placeholders as the worker puts them into a source, in order of appearance.
PLACEHOLDERS = [chr(0xE000 + index) for index in range(8)]
#: One sentence in this many is held out.
HELD_OUT_SHARE = 12

MARKER = re.compile(f"[{chr(FIRST_MARKER)}-{chr(FIRST_MARKER + len(KINDS) * MARKERS - 1)}]")
#: Texts of 1 to 8 sentences, and how often they occur.
_SENTENCES = (44, 20, 12, 8, 6, 4, 3, 3)
#: What a text is about: the kinds of sentence it is made of.
_TOPICS = {
    "product": {"product": 70, "shop": 14, "support": 6, "fixed": 4, "spoken": 6},
    "shop": {"shop": 55, "product": 15, "support": 15, "fixed": 10, "spoken": 5},
    "support": {"support": 60, "shop": 10, "product": 8, "fixed": 12, "spoken": 10},
    "daily": {"spoken": 75, "daily": 21, "fixed": 4},
}
_TOPIC_SHARE = {"product": 26, "shop": 16, "support": 22, "daily": 36}


class Pair(NamedTuple):
    direction: Direction
    source: str
    target: str
    #: A set phrase, which training and held-out texts share.
    is_fixed: bool


def is_held_out(sentence: Sentence) -> bool:
    """Whether a sentence is kept from training. Placeholders are all one to it."""
    return zlib.crc32(MARKER.sub(PLACEHOLDERS[0], sentence.en).encode()) % HELD_OUT_SHARE == 0


def draw_kind(rng: Random, topic: str) -> str:
    mixture = _TOPICS[topic]
    return rng.choices(list(mixture), list(mixture.values()))[0]


def _draw_on_side(context: TextContext, kind: str, held_out: bool, used: set[Pattern]) -> Sentence:
    """The kind is given, so that both sides have the same mixture of kinds. ``used`` are the patterns that the text
    has already: none comes twice."""
    unused = [pattern for pattern in PATTERNS.get(kind, []) if pattern not in used]
    while True:
        pattern = context.rng.choice(unused) if unused else None
        sentence = pattern.fill(context) if pattern else draw_spoken(context)
        if sentence.is_fixed or is_held_out(sentence) == held_out:
            used |= {pattern} if pattern else set()
            return sentence


def draw_sentence(rng: Random) -> Sentence:
    """Some sentence by itself, of either side."""
    kind = draw_kind(rng, rng.choice(list(_TOPICS)))
    return draw_spoken(TextContext(rng)) if kind == "spoken" else rng.choice(PATTERNS[kind]).fill(TextContext(rng))


def _decorated(context: TextContext, sentences: list[Sentence]) -> list[Sentence]:
    """Some texts have placeholders around them, or one before them."""
    draw = context.rng.random()
    if draw < 0.08:
        first, last = context.marker("open"), context.marker("close")
    elif draw < 0.12:
        first, last = context.marker("other") + " ", ""
    else:
        return sentences
    opened = [sentences[0].between(first, ""), *sentences[1:]]
    return [*opened[:-1], opened[-1].between("", last)]


def draw_text(rng: Random, held_out: bool = False) -> list[Sentence]:
    """The sentences of one text in three languages. Its placeholders are not numbered yet: that depends on the
    direction."""
    while True:
        context = TextContext(rng)
        topic = rng.choices(list(_TOPIC_SHARE), list(_TOPIC_SHARE.values()))[0]
        length = rng.choices(range(1, len(_SENTENCES) + 1), _SENTENCES)[0]
        used: set[Pattern] = set()
        sentences = [_draw_on_side(context, draw_kind(rng, topic), held_out, used) for _ in range(length)]
        text = _decorated(context, sentences)
        marks = set(MARKER.findall("".join(sentence.zh for sentence in text)))
        if len(marks) <= len(PLACEHOLDERS) and not (held_out and all(sentence.is_fixed for sentence in text)):
            return text


def directed(text: list[Sentence], direction: Direction, names: list[str] | None = None) -> list[Pair]:
    """One direction of a text, its placeholders named by ``names`` (the worker's) in order of appearance."""
    sides = [(one.zh, one.en) if direction == "zh-en" else (one.en, one.de) for one in text]
    order = dict.fromkeys(MARKER.findall("".join(source for source, _ in sides)))
    table = {ord(marker): name for marker, name in zip(order, names or PLACEHOLDERS, strict=False)}
    return [
        Pair(direction, source.translate(table), target.translate(table), sentence.is_fixed)
        for sentence, (source, target) in zip(text, sides, strict=True)
    ]


def joined(sentences: list[str], language: str) -> str:
    return ("" if language == "zh" else " ").join(sentences)


def training_pairs(seed: int) -> Iterator[Pair]:
    """The sentences of endless texts, in both directions. A third of the texts name their placeholders at random, so
    that the model learns to copy all eight as well as the first."""
    rng = Random(seed)
    while True:
        text = draw_text(rng)
        names = rng.sample(PLACEHOLDERS, len(PLACEHOLDERS)) if rng.random() < 0.33 else PLACEHOLDERS
        for direction in DIRECTIONS:
            yield from directed(text, direction, names)


def held_out_texts(seed: int, direction: Direction, samples: int) -> list[list[Pair]]:
    """``samples`` distinct texts, sentence by sentence, of sentences that training never sees."""
    rng = Random(seed)
    found: dict[str, list[Pair]] = {}
    while len(found) < samples:
        text = directed(draw_text(rng, held_out=True), direction)
        found.setdefault(" ".join(pair.source for pair in text), text)
    return list(found.values())
