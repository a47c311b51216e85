"""Our engine. It gets the benchmark's items in the same way as a worker gives it a claim's items."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch

from benchmarks.engine.workload import Workload, WorkloadItem, lengths
from lengthwise.models.catalog import ModelSpec
from worker.engine.completions import completions
from worker.engine.protocol import Completion, Request
from worker.engine.transformer.engine import TorchEngine
from worker.generation.capacity import Capacity
from worker.generation.plan import planner


class Int8System:
    """Our engine in int8. A row's answer does not depend on the other rows of its batch."""

    quantization: Literal["int8", "bf16", "none"] = "int8"
    device = "cpu"
    #: Token budget by the workload's model. A decoder-only model's batches have no padding, so large ones cost nothing.
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
        self._is_continuous = self.engine.capabilities().is_continuous

    def batches(self, items: Sequence[WorkloadItem]) -> list[list[int]]:
        """Plans the batches. With continuous batching there is a single one."""
        if self._is_continuous:
            return [list(range(len(items)))]
        return self.cut(lengths(items), self.spec.batch_tokens, self.spec.batch_rows)

    def run(self, items: Sequence[WorkloadItem]) -> list[int]:
        written = [0] * len(items)
        for completion in self._joining(items) if self._is_continuous else self._by_batches(items):
            written[completion.id] = len(completion.tokens)
        return written

    def _by_batches(self, items: Sequence[WorkloadItem]) -> Iterator[Completion]:
        for batch in self.batches(items):
            yield from completions(self.engine, [_request(items, index) for index in batch])

    def _joining(self, items: Sequence[WorkloadItem]) -> Iterator[Completion]:
        capacity, waiting = Capacity(self.spec.batch_rows, self.spec.batch_tokens), deque(range(len(items)))
        batch = self.engine.start()
        while waiting or not batch.is_done:
            if capacity.can_admit_group:
                joining: list[Request] = []
                while waiting and capacity.admit(waiting[0], len(items[waiting[0]].tokens)):
                    joining.append(_request(items, waiting.popleft()))
                batch.add(joining)
            for completion in batch.step():
                capacity.leave(completion.id)
                yield completion


def _request(items: Sequence[WorkloadItem], index: int) -> Request:
    return Request(index, items[index].tokens, items[index].n_output)


class Fp32System(Int8System):
    """Our engine in fp32."""

    quantization = "none"
