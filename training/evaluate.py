"""``python -m training.evaluate``: exact matches of the exported models on texts that training never saw.

Runs plain transformers on the int8 rows expanded to fp32, greedily, so that the figures owe nothing to the engine.
"""

import argparse
import json
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from training import moderate, translate
from training.comment import draw_comment
from training.comment import is_held_out as is_comment_held_out
from training.export import load
from training.train import DEMO, TASKS

#: Neither training nor the looks during it use this seed.
SEED = 4711


def evaluate(models: Path, samples: int, seed: int) -> dict[str, float]:
    """The share of exactly right answers, by direction and for moderation."""
    figures: dict[str, float] = {}
    for name, task in TASKS.items():
        model, tokenizer = load(task.MODEL_CLASS, models / name)
        figures |= task.accuracy(model, tokenizer, samples, seed)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1000, help="texts of each direction")
    parser.add_argument("--models", type=Path, default=DEMO, help="folder that holds translate/ and moderate/")
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    figures = evaluate(arguments.models, arguments.samples, arguments.seed)
    table = Table("model", "exact", title=f"{arguments.samples} held-out texts each")
    for name, figure in figures.items():
        table.add_row(name, f"{figure:.1%}")
    Console().print(table)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
