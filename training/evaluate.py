"""``python -m training.evaluate`` counts the exported models' exact matches on texts that training never saw.

It runs plain transformers with greedy decoding on the int8 weights expanded to fp32. So the figures do not depend on
our engine.
"""

import argparse
import json
from itertools import islice
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from training.comment import held_out_comments, training_comments
from training.corpus import DIRECTIONS, held_out_texts, training_pairs
from training.export import load
from training.train import DEMO, FINAL_SAMPLES, FINAL_SEED, SEEDS, TASKS

#: More pairs and more comments than training draws with one seed.
REPLAYED_PAIRS, REPLAYED_COMMENTS = 340_000, 80_000


def refuse_seen(samples: int, seed: int) -> None:
    """Raises ``ValueError`` if the training data contains a held-out sentence or comment, set phrases aside.

    To check this, it draws the training data again.
    """
    sources = {pair.source for known in SEEDS for pair in islice(training_pairs(known), REPLAYED_PAIRS)}
    texts = [text for direction in DIRECTIONS for text in held_out_texts(seed, direction, samples)]
    found = sources & {pair.source for text in texts for pair in text if not pair.is_fixed}
    comments = {comment.text for comment in islice(training_comments(SEEDS[0]), REPLAYED_COMMENTS)}
    found |= comments & {comment.text for comment in held_out_comments(seed, samples)}
    if found:
        raise ValueError(f"the training data contains {len(found)} held-out sentences")


def evaluate(models: Path, samples: int, seed: int) -> dict[str, float]:
    """Returns the shares of exactly right answers, by direction and for moderation."""
    figures: dict[str, float] = {}
    for name, task in TASKS.items():
        model, tokenizer = load(task.MODEL_CLASS, models / name)
        figures |= task.accuracy(model, tokenizer, samples, seed)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=FINAL_SAMPLES, help="texts per direction")
    parser.add_argument("--models", type=Path, default=DEMO, help="folder with translate/ and moderate/")
    parser.add_argument("--seed", type=int, default=FINAL_SEED)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    refuse_seen(arguments.samples, arguments.seed)
    figures = evaluate(arguments.models, arguments.samples, arguments.seed)
    table = Table("model", "exact", title=f"{arguments.samples} held-out texts each")
    for name, figure in figures.items():
        table.add_row(name, f"{figure:.1%}")
    Console().print(table)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
