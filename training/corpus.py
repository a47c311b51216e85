"""The translation corpus: texts of 1 to 8 sentences as (direction, source, target), seeded and endless.

Training and held-out texts never share a sentence: which side a sentence is on is decided by a hash of its English,
so that no list of seen sentences has to be kept. Set phrases (``Hello!``) are few and on both sides, but no held-out
text is made of them alone.
"""

import re
import zlib
from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Literal, NamedTuple

from training.sentence import PATTERNS, Pattern, Sentence, draw_spoken
from training.slot import FIRST_MARKER, KINDS, MARKERS, Scene

Direction = Literal["zh-en", "en-de"]
DIRECTIONS: tuple[Direction, ...] = ("zh-en", "en-de")

#: Placeholders as the worker puts them into a source, in order of appearance.
PLACEHOLDERS = [chr(0xE000 + index) for index in range(8)]
#: One sentence in this many is held out.
HELD_OUT_SHARE = 12

MARKER = re.compile(f"[{chr(FIRST_MARKER)}-{chr(FIRST_MARKER + len(KINDS) * MARKERS - 1)}]")
#: Texts of 1 to 8 sentences, and how often they occur.
_SENTENCES = (44, 20, 12, 8, 6, 4, 3, 3)
#: Until so many texts, they have so many sentences at most.
_CURRICULUM = ((24_000, 1), (30_000, 2), (36_000, 3), (42_000, 5))
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


def draw_kind(rng: Random, topic: str) -> str:
    mixture = _TOPICS[topic]
    return rng.choices(list(mixture), list(mixture.values()))[0]


def _draw_on_side(scene: Scene, kind: str, held_out: bool, used: set[Pattern]) -> Sentence:
    """The kind is given, so that both sides have the same mixture of kinds. ``used`` are the patterns that the text
    has already: none comes twice."""
    unused = [pattern for pattern in PATTERNS.get(kind, []) if pattern not in used]
    while True:
        scene.next()
        pattern = scene.rng.choice(unused) if unused else None
        sentence = pattern.fill(scene) if pattern else draw_spoken(scene)
        if sentence.is_fixed or is_held_out(sentence) == held_out:
            used |= {pattern} if pattern else set()
            return sentence


def draw_sentence(rng: Random) -> Sentence:
    """Some sentence by itself, of either side."""
    kind = draw_kind(rng, rng.choice(list(_TOPICS)))
    return draw_spoken(Scene(rng)) if kind == "spoken" else rng.choice(PATTERNS[kind]).fill(Scene(rng))


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


def draw_text(rng: Random, held_out: bool = False, longest: int = len(_SENTENCES)) -> Sentence:
    """One text of at most ``longest`` sentences in three languages. Its placeholders are not numbered yet: that
    depends on the direction."""
    while True:
        scene = Scene(rng)
        topic = rng.choices(list(_TOPIC_SHARE), list(_TOPIC_SHARE.values()))[0]
        length = min(rng.choices(range(1, len(_SENTENCES) + 1), _SENTENCES)[0], longest)
        used: set[Pattern] = set()
        sentences = [_draw_on_side(scene, draw_kind(rng, topic), held_out, used) for _ in range(length)]
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
    """Both directions of endless texts, short ones first: which word answers which is learned much sooner from them.

    A third of the texts name their placeholders at random, so that the model learns to copy all eight as well as the
    first."""
    rng = Random(seed)
    for number in count():
        text = draw_text(rng, longest=next((most for until, most in _CURRICULUM if number < until), len(_SENTENCES)))
        names = rng.sample(PLACEHOLDERS, len(PLACEHOLDERS)) if rng.random() < 0.33 else PLACEHOLDERS
        for direction in DIRECTIONS:
            yield directed(text, direction, names)


def held_out_pairs(seed: int, direction: Direction, samples: int) -> list[Pair]:
    """``samples`` texts with distinct sources, of sentences that training never sees."""
    rng = Random(seed)
    found: dict[str, Pair] = {}
    while len(found) < samples:
        pair = directed(draw_text(rng, held_out=True), direction)
        found.setdefault(pair.source, pair)
    return list(found.values())
