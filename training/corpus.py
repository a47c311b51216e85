"""The translation corpus: an endless seeded stream of texts of 1 to 8 sentences.

Each sentence is a triple of direction, source and target. The worker translates a text sentence by sentence, so the
model is trained on sentences. Placeholders are numbered through the whole text.

Training and held-out texts never share a sentence. A hash of the English sentence decides its side, so no list of seen
sentences is needed. The few set phrases (``Hello!``) are on both sides, but no held-out text consists of them alone.
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

#: Placeholders as the worker writes them into a source text, in order of appearance.
PLACEHOLDERS = [chr(0xE000 + index) for index in range(8)]
#: One sentence in this many is held out.
HELD_OUT_SHARE = 12

MARKER = re.compile(f"[{chr(FIRST_MARKER)}-{chr(FIRST_MARKER + len(KINDS) * MARKERS - 1)}]")
#: Weights for texts of 1 to 8 sentences.
_SENTENCES = (44, 20, 12, 8, 6, 4, 3, 3)
#: The topics of texts. Each is a mixture of kinds of sentence, with weights.
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
    #: Whether it is a set phrase, which training and held-out texts share.
    is_fixed: bool


def is_held_out(sentence: Sentence) -> bool:
    """Whether a sentence is kept out of training. All placeholders count as the same one."""
    return zlib.crc32(MARKER.sub(PLACEHOLDERS[0], sentence.en).encode()) % HELD_OUT_SHARE == 0


def draw_kind(rng: Random, topic: str) -> str:
    mixture = _TOPICS[topic]
    return rng.choices(list(mixture), list(mixture.values()))[0]


def _draw_on_side(context: TextContext, kind: str, held_out: bool, used: set[Pattern]) -> Sentence:
    """Draws a sentence of ``kind`` for the training or the held-out side. Adds its pattern to ``used``.

    The kind is chosen before, so that both sides have the same mixture of kinds. ``used`` are the patterns that the
    text already has; none occurs twice.
    """
    unused = [pattern for pattern in PATTERNS.get(kind, []) if pattern not in used]
    while True:
        pattern = context.rng.choice(unused) if unused else None
        sentence = pattern.fill(context) if pattern else draw_spoken(context)
        if sentence.is_fixed or is_held_out(sentence) == held_out:
            used |= {pattern} if pattern else set()
            return sentence


def draw_sentence(rng: Random) -> Sentence:
    """Draws a single sentence of either side."""
    kind = draw_kind(rng, rng.choice(list(_TOPICS)))
    return draw_spoken(TextContext(rng)) if kind == "spoken" else rng.choice(PATTERNS[kind]).fill(TextContext(rng))


def _decorated(context: TextContext, sentences: list[Sentence]) -> list[Sentence]:
    """Puts placeholders around some texts, and one in front of others."""
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
    """Draws the sentences of one text in three languages.

    Its placeholders are not numbered yet, because their numbers depend on the direction.
    """
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
    """Returns a text's pairs in one direction. ``names`` replace its placeholders in order of appearance."""
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
    """Yields the sentences of texts in both directions, without end.

    A third of the texts use random placeholders, so that the model learns to copy all eight as well as the first.
    """
    rng = Random(seed)
    while True:
        text = draw_text(rng)
        names = rng.sample(PLACEHOLDERS, len(PLACEHOLDERS)) if rng.random() < 0.33 else PLACEHOLDERS
        for direction in DIRECTIONS:
            yield from directed(text, direction, names)


def held_out_texts(seed: int, direction: Direction, samples: int) -> list[list[Pair]]:
    """Returns ``samples`` distinct texts, sentence by sentence, that share only set phrases with training."""
    rng = Random(seed)
    found: dict[str, list[Pair]] = {}
    while len(found) < samples:
        text = directed(draw_text(rng, held_out=True), direction)
        found.setdefault(" ".join(pair.source for pair in text), text)
    return list(found.values())
