"""The translation corpus: texts of 1 to 8 sentences as (direction, source, target), seeded and endless.

Training and held-out texts never share a sentence: which side a sentence is on is decided by a hash of its English,
so that no list of seen sentences has to be kept. Set phrases (``Hello!``) are few and on both sides, but no held-out
text is made of them alone.
"""

import re
import zlib
from collections.abc import Iterator
from random import Random
from typing import Literal, NamedTuple

from training.sentence import PATTERNS, Sentence, draw_spoken
from training.slot import FIRST_MARKER, KINDS, MARKERS, Scene

Direction = Literal["zh-en", "en-de"]
DIRECTIONS: tuple[Direction, ...] = ("zh-en", "en-de")

#: Placeholders as the worker puts them into a source, in order of appearance.
PLACEHOLDERS = [chr(0xE000 + index) for index in range(8)]
#: One sentence in this many is held out.
HELD_OUT_SHARE = 12

MARKER = re.compile(f"[{chr(FIRST_MARKER)}-{chr(FIRST_MARKER + len(KINDS) * MARKERS - 1)}]")
#: Texts of 1 to 8 sentences, and how often they occur.
_SENTENCES = (38, 18, 12, 9, 7, 6, 5, 5)
#: The share of the texts that have each sentence on a line of its own.
_LINES_SHARE = 0.08
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


def is_held_out(sentence: Sentence) -> bool:
    """Whether a sentence is kept from training. Placeholders are all one to it."""
    return zlib.crc32(MARKER.sub(PLACEHOLDERS[0], sentence.en).encode()) % HELD_OUT_SHARE == 0


def draw_sentence(scene: Scene, topic: str) -> Sentence:
    mixture = _TOPICS[topic]
    kind = scene.rng.choices(list(mixture), list(mixture.values()))[0]
    return draw_spoken(scene) if kind == "spoken" else scene.rng.choice(PATTERNS[kind]).fill(scene)


def _draw_on_side(scene: Scene, topic: str, held_out: bool) -> Sentence:
    while True:
        sentence = draw_sentence(scene, topic)
        if sentence.is_fixed or is_held_out(sentence) == held_out:
            return sentence


def _decorated(scene: Scene, text: Sentence) -> Sentence:
    """Some texts have placeholders around them, or before or after them with a space."""
    draw = scene.rng.random()
    if draw < 0.05:
        first, last = scene.marker("open"), scene.marker("close")
    elif draw < 0.08:
        first, last = f"{scene.marker('other')} ", ""
    elif draw < 0.11:
        first, last = "", f" {scene.marker('other')}"
    else:
        return text
    return Sentence(f"{first}{text.zh}{last}", f"{first}{text.en}{last}", f"{first}{text.de}{last}")


def draw_text(rng: Random, held_out: bool = False) -> Sentence:
    """One text in three languages. Its placeholders are not numbered yet: that depends on the direction."""
    while True:
        scene = Scene(rng)
        topic = rng.choices(list(_TOPIC_SHARE), list(_TOPIC_SHARE.values()))[0]
        count = rng.choices(range(1, 9), _SENTENCES)[0]
        sentences = [_draw_on_side(scene, topic, held_out) for _ in range(count)]
        if held_out and all(sentence.is_fixed for sentence in sentences):
            continue
        newline = "\n" if rng.random() < _LINES_SHARE else ""
        zh = newline.join(sentence.zh for sentence in sentences)
        en = (newline or " ").join(sentence.en for sentence in sentences)
        de = (newline or " ").join(sentence.de for sentence in sentences)
        text = _decorated(scene, Sentence(zh, en, de))
        if len(set(MARKER.findall(text.zh))) <= len(PLACEHOLDERS):
            return text


def directed(text: Sentence, direction: Direction, names: list[str] | None = None) -> Pair:
    """One direction of a text, its placeholders named by ``names`` (the worker's) in order of appearance."""
    source, target = (text.zh, text.en) if direction == "zh-en" else (text.en, text.de)
    order = list(dict.fromkeys(MARKER.findall(source)))
    table = {ord(marker): name for marker, name in zip(order, names or PLACEHOLDERS, strict=False)}
    return Pair(direction, source.translate(table), target.translate(table))


def training_pairs(seed: int) -> Iterator[Pair]:
    """Both directions of endless texts. A third of the texts name their placeholders at random, so that the model
    learns to copy all eight as well as the first."""
    rng = Random(seed)
    while True:
        text = draw_text(rng)
        names = rng.sample(PLACEHOLDERS, len(PLACEHOLDERS)) if rng.random() < 0.33 else PLACEHOLDERS
        for direction in DIRECTIONS:
            yield directed(text, direction, names)


def held_out_pairs(seed: int, direction: Direction, count: int) -> list[Pair]:
    """``count`` texts with distinct sources, of sentences that training never sees."""
    rng = Random(seed)
    found: dict[str, Pair] = {}
    while len(found) < count:
        pair = directed(draw_text(rng, held_out=True), direction)
        found.setdefault(pair.source, pair)
    return list(found.values())
