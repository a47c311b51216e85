"""Our engine, by precision."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from benchmarks.fidelity.system import Answers
from lengthwise.models.catalog import ModelSpec
from worker.engine.completions import completions
from worker.engine.protocol import Request
from worker.engine.transformer.engine import TorchEngine

Quantization = Literal["int8", "bf16", "none"]

#: Texts to embed in one batch.
_ROWS = 32


def load(model: Path, quantization: Quantization) -> TorchEngine:
    return TorchEngine.load(ModelSpec(name="real", path=model, quantization=quantization, device="cpu"))


@torch.inference_mode()
def forced_scores(engine: TorchEngine, inputs: Sequence[Sequence[int]]) -> torch.Tensor:
    """Reads texts token by token, as when it writes them itself; for decoder-only models.

    Returns the scores behind each token of all inputs in a row, ``[tokens, vocabulary]``.
    """
    order = sorted(range(len(inputs)), key=lambda number: len(inputs[number]), reverse=True)
    rows = [inputs[number] for number in order]
    stepper = engine.stepper([row[:1] for row in rows])
    scores = stepper.start()
    found: list[list[torch.Tensor]] = [[each.float().clone()] for each in scores]
    for step in range(1, len(rows[0])):
        n_rows = sum(step < len(row) for row in rows)  # the longest come first
        if n_rows < len(scores):
            stepper.keep(range(n_rows))
        scores = stepper.step(torch.tensor([row[step] for row in rows[:n_rows]]))
        for kept, each in zip(found, scores, strict=False):
            kept.append(each.float().clone())
    places = sorted(range(len(order)), key=order.__getitem__)
    return torch.cat([torch.stack(found[place]) for place in places])


def vectors(engine: TorchEngine, inputs: Sequence[Sequence[int]]) -> torch.Tensor:
    """Embeds texts. Returns ``[inputs, size]``."""
    requests = sorted(
        (Request(number, tokens) for number, tokens in enumerate(inputs)), key=lambda each: len(each.tokens)
    )
    found = {
        completion.id: completion.vector
        for start in range(0, len(requests), _ROWS)
        for completion in completions(engine, requests[start : start + _ROWS])
    }
    return torch.tensor([found[number] for number in range(len(inputs))])


class Int8Writer:
    quantization: Quantization = "int8"

    def __init__(self, model: Path) -> None:
        torch.set_num_threads(1)
        self.engine = load(model, self.quantization)

    def answers(self, inputs: Sequence[Sequence[int]]) -> Answers:
        found: Answers = forced_scores(self.engine, inputs).numpy()
        return found


class Bf16Writer(Int8Writer):
    quantization = "bf16"


class Fp32Writer(Int8Writer):
    quantization = "none"


class Int8Embedder(Int8Writer):
    def answers(self, inputs: Sequence[Sequence[int]]) -> Answers:
        found: Answers = vectors(self.engine, inputs).numpy().astype(np.float32)
        return found


class Bf16Embedder(Int8Embedder):
    quantization = "bf16"


class Fp32Embedder(Int8Embedder):
    quantization = "none"
