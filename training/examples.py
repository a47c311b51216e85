"""``python -m training.examples``: writes the texts in ``examples/``, with placeholders in the forms that people write.

They are drawn like the training texts but by a seed of their own, and of every length alike.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from random import Random

from training.comment import draw_comment
from training.corpus import MARKER, draw_text

SEED = 1789
FOLDER = Path(__file__).parent.parent / "examples"
FIRST = "我吃了一个苹果。"
CHINESE, ENGLISH, COMMENTS = 280, 220, 340
#: What stands for a lone placeholder, and for the first and second of a pair.
ALONE = ("{name}", "%s", "{product}", "{order}", "https://example.com/help", "{value}", "%d", "{link}")


def written(rng: Random, text: str) -> str:
    """``text`` with real placeholders: a pair around words becomes tags, the others names and formats."""
    markers = MARKER.findall(text)
    kinds = rng.sample(ALONE, len(ALONE))
    for index, marker in enumerate(dict.fromkeys(markers)):
        text = text.replace(marker, kinds[index % len(kinds)])
    return text


def _lines(prefix: str, texts: Iterable[str]) -> str:
    rows = ({"id": f"{prefix}-{number:04}", "text": text} for number, text in enumerate(texts, 1))
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
