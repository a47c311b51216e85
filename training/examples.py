"""``python -m training.examples`` writes the texts in ``examples/``, with placeholders in the forms that people write.

The texts are drawn like the training texts, with another seed. They show the system and do not measure the models, so
only texts that the models get right are kept. ``training.evaluate`` measures the models.
"""

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from random import Random

import torch

from lengthwise.text.sentence import ends
from training import moderate, translate
from training.comment import draw_comment
from training.corpus import MARKER, PLACEHOLDERS, Direction, directed, draw_text, joined
from training.export import load
from training.grammar.context import kind_of
from training.grammar.sentence import Sentence
from training.train import DEMO

SEED = 1789
FOLDER = Path(__file__).parent.parent / "examples"
#: The first example of each direction.
FIRST = Sentence("我吃了一个苹果。", "I ate an apple.", "Ich habe einen Apfel gegessen.")
CHINESE, ENGLISH, COMMENTS = 280, 220, 340

_TAGS = [("<b>", "</b>"), ("<strong>", "</strong>"), ('<a href="https://example.com/cart">', "</a>"), ("<em>", "</em>")]
_FORMS = {
    "name": ["{name}", "{customer}", "{{first_name}}"],
    "product": ["{product}", "%s", "SKU-20418"],
    "number": ["{order_id}", "%d", "ORD-77310"],
    "link": ["https://example.com/help", "https://example.com/orders?id=7", "https://example.com/size-guide"],
    "value": ["{amount}", "%s", "{{total}}"],
    "other": [":tada:", "{greeting}", "@example_shop"],
}


def written(rng: Random, text: str) -> str:
    """Returns ``text`` with placeholders as people write them. Each placeholder keeps its form in the whole text."""
    opening, closing = rng.choice(_TAGS)
    forms = {kind: rng.sample(choices, len(choices)) for kind, choices in _FORMS.items()}
    chosen: dict[str, str] = {}
    for marker in dict.fromkeys(MARKER.findall(text)):
        kind = kind_of(marker)
        if kind in ("open", "close"):
            chosen[marker] = opening if kind == "open" else closing
        else:
            chosen[marker] = forms[kind][0]
            forms[kind] = forms[kind][1:] + forms[kind][:1]
    return MARKER.sub(lambda found: chosen[found[0]], text)


def draw_translations(direction: Direction, wanted: int, seed: int) -> list[str]:
    """Draws distinct texts that the worker splits into the right sentences, all of which the demo model gets right."""
    model, tokenizer = load(translate.MODEL_CLASS, DEMO / "translate")
    rng, language = Random(seed), direction[:2]
    texts = [[FIRST], *(draw_text(rng) for _ in range(wanted + wanted // 2))]
    pairs = [(number, pair) for number, text in enumerate(texts) for pair in directed(text, direction)]
    answers = translate.translate(model, tokenizer, [pair.source for _, pair in pairs], direction)
    wrong = {number for (number, pair), answer in zip(pairs, answers, strict=True) if answer != pair.target}
    sides = [[one.zh if language == "zh" else one.en for one in text] for text in texts]
    right = (side for number, side in enumerate(sides) if number not in wrong)
    sources = (written(rng, joined(side, language)) for side in right if is_split_well(side, language))
    return list(dict.fromkeys(sources))[:wanted]


def is_split_well(sentences: list[str], language: str) -> bool:
    """Whether the worker splits the joined text into exactly these sentences."""
    marked = MARKER.sub(PLACEHOLDERS[0], joined(sentences, language))
    found = [marked[start:end].strip() for start, end in pairwise([0, *ends(marked, language)])]
    return found == [MARKER.sub(PLACEHOLDERS[0], sentence) for sentence in sentences]


def draw_comments(wanted: int, seed: int) -> list[str]:
    """Draws distinct comments whose labels the demo model gets exactly right."""
    model, tokenizer = load(moderate.MODEL_CLASS, DEMO / "moderate")
    rng = Random(seed)
    comments = [draw_comment(rng) for _ in range(wanted + wanted // 5)]
    answers = moderate.classify(model, tokenizer, [comment.text for comment in comments])
    right = (comment.text for comment, answer in zip(comments, answers, strict=True) if answer == comment.labels)
    return list(dict.fromkeys(right))[:wanted]


def write(name: str, prefix: str, texts: Iterable[str]) -> None:
    rows = ({"id": f"{prefix}-{number:04}", "text": text} for number, text in enumerate(texts, 1))
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (FOLDER / name).write_text(lines, "utf-8")
    print(f"wrote {FOLDER.name}/{name}")


def main() -> None:
    torch.set_num_threads(1)
    write("translate.ndjson", "zh", draw_translations("zh-en", CHINESE, SEED))
    write("translate-en-de.ndjson", "en", draw_translations("en-de", ENGLISH, SEED + 1))
    write("moderate.ndjson", "comment", draw_comments(COMMENTS, SEED + 2))


if __name__ == "__main__":
    main()
