"""Our engine, planned as a worker plans a claim of these items."""

from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.engine.workload import Item, Workload, lengths
from lengthwise.catalog import ModelSpec
from worker.engine.protocol import Request
from worker.engine.torch_engine import TorchEngine
from worker.plan import pack, plan

#: A decoder-only model's batches are not padded: nothing is lost by large ones.
_BATCH_TOKENS = {"marian": 4096, "llama": 16_384}


class Int8:
    """Rows do not see each other."""

    quantization = "int8"

    def __init__(self, model: Path, workload: Workload) -> None:
        torch.set_num_threads(1)
        named = {"name": "bench", "path": model, "quantization": self.quantization}
        self.spec = ModelSpec.model_validate(named | {"batch_tokens": _BATCH_TOKENS[workload.model]})
        self.engine = TorchEngine.load(self.spec)
        self.cut = pack if self.engine.capabilities().is_packed else plan

    def run(self, items: Sequence[Item]) -> list[int]:
        written = [0] * len(items)
        for batch in self.cut(lengths(items), self.spec.batch_tokens, self.spec.batch_rows):
            requests = [Request(index, items[index].tokens, items[index].n_output) for index in batch]
            for completion in self.engine.generate(requests):
                written[completion.id] = len(completion.tokens)
        return written


class Exact(Int8):
    """fp32 through oneDNN."""

    quantization = "none"
