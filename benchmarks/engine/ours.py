"""Our engine, planned as a worker plans a claim of these items."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch

from benchmarks.engine.workload import Item, Workload, lengths
from lengthwise.catalog import ModelSpec
from worker.engine.protocol import Request
from worker.engine.torch_engine import TorchEngine
from worker.plan import planner


class Int8:
    """Rows do not see each other."""

    quantization: Literal["int8", "bf16", "none"] = "int8"
    device = "cpu"
    #: By a workload's model. A decoder-only model's batches are not padded: nothing is lost by large ones.
    batch_tokens: Mapping[str, int] = {"marian": 8192, "llama": 16_384}
    batch_rows = 128

    def __init__(self, model: Path, workload: Workload) -> None:
        torch.set_num_threads(1)
        self.spec = ModelSpec(
            name="bench",
            path=model,
            quantization=self.quantization,
            device=self.device,
            batch_tokens=self.batch_tokens[workload.model],
            batch_rows=self.batch_rows,
        )
        self.engine = TorchEngine.load(self.spec)
        self.cut = planner(self.engine.capabilities())

    def batches(self, items: Sequence[Item]) -> list[list[int]]:
        return self.cut(lengths(items), self.spec.batch_tokens, self.spec.batch_rows)

    def run(self, items: Sequence[Item]) -> list[int]:
        written = [0] * len(items)
        for batch in self.batches(items):
            requests = [Request(index, items[index].tokens, items[index].n_output) for index in batch]
            for completion in self.engine.generate(requests):
                written[completion.id] = len(completion.tokens)
        return written


class Exact(Int8):
    """fp32 through oneDNN."""

    quantization = "none"
