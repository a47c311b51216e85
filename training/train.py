"""``python -m training.train translate|moderate`` trains a demo model on one CPU core and exports it."""

import argparse
import time
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress
from tokenizers import Tokenizer

from training import moderate, translate
from training.export import export, load
from training.optimizer import Optimizer, rate

DEMO = Path(__file__).parent.parent / "lengthwise" / "demo"
TASKS = {"translate": translate, "moderate": moderate}
#: The seeds of the shipped models' training runs. Evaluation and examples use other seeds.
SEEDS = (20261, 20262)
LOG_STEPS = 50
#: Steps between two checks on held-out texts, the number of texts, and their seed.
LOOK_STEPS, LOOK_SAMPLES, LOOK_SEED = 650, 60, 77
#: The texts behind the published figures. This module uses them before the weights are rounded to int8, ``evaluate``
#: after.
FINAL_SAMPLES, FINAL_SEED = 1000, 4711


def prepare(name: str, seed: int, start: Path | None) -> tuple[Any, Tokenizer]:
    """Returns a new model, or the model in ``start`` for more training."""
    task = TASKS[name]
    known, tokenizer = load(task.MODEL_CLASS, start) if start else (None, task.make_tokenizer(seed))
    # A new model in both cases, because it knows which of its tables are computed and not trained.
    model = task.make_model(tokenizer)
    if known is not None:
        model.load_state_dict(known.state_dict())
    # For short texts in bfloat16 on a CPU, eager attention is faster than the fused kernel's backward pass.
    model.set_attn_implementation("eager")
    return model.train(), tokenizer


def train(name: str, folder: Path, steps: int, seed: int, start: Path | None = None, peak: float = 1.0) -> None:
    """Trains in bfloat16 with fp32 weights. Prints the loss and the held-out accuracy at intervals.

    ``peak`` scales the optimizer's learning rates.
    """
    torch.manual_seed(seed)
    task = TASKS[name]
    model, tokenizer = prepare(name, seed, start)
    optimizer, batches = Optimizer(model), task.batches(tokenizer, seed)
    print(f"{name}: {sum(p.numel() for p in model.parameters()) / 1e6:.2f}M parameters, {steps} steps, seed {seed}")
    started, mean = time.monotonic(), 0.0
    with Progress() as progress:
        bar = progress.add_task(name, total=steps)
        for step in range(steps):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = task.loss(model, tokenizer, next(batches))
            loss.backward()
            optimizer.step(peak * rate(step, steps))
            mean += (loss.item() - mean) / min(step + 1, 50)
            progress.update(bar, advance=1, description=f"{name} loss {mean:.4f}")
            if (step + 1) % LOG_STEPS == 0:
                progress.print(f"step {step + 1}  loss {mean:.4f}  {time.monotonic() - started:.0f} s")
            if (step + 1) % LOOK_STEPS == 0:
                found = task.accuracy(model.eval(), tokenizer, LOOK_SAMPLES, LOOK_SEED)
                export(model, tokenizer, folder)
                model.train()
                progress.print(f"step {step + 1}  held out {found}")
    export(model, tokenizer, folder)
    print(f"exported to {folder}")
    print(f"fp32, held out: {task.accuracy(model.eval(), tokenizer, FINAL_SAMPLES, FINAL_SEED)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=TASKS)
    parser.add_argument("--out", type=Path, help="folder to write (default: the one that ships)")
    parser.add_argument("--start", type=Path, help="folder of a model to train further; use another seed")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--seed", type=int, default=SEEDS[0])
    parser.add_argument("--rate", type=float, default=1.0, help="factor on the learning rate; less for more training")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    steps = arguments.steps or TASKS[arguments.model].STEPS
    folder = arguments.out or DEMO / arguments.model
    train(arguments.model, folder, steps, arguments.seed, arguments.start, arguments.rate)


if __name__ == "__main__":
    main()
