"""transformers' ``generate``. A batch runs until its longest answer is complete; shorter answers are cut to length."""

# mypy: allow-untyped-calls
# transformers ships few annotations.

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.engine.workload import Workload, WorkloadItem, lengths
from worker.engine.transformer.precision import device
from worker.generation.plan import plan

_ROWS = 16


class ArrivalOrderPeer:
    """Batches of 16 in the order of arrival."""

    device = "cpu"

    def __init__(self, model: Path, workload: Workload) -> None:
        torch.set_num_threads(1)
        config: Any = transformers.AutoConfig.from_pretrained(model)
        kind: Any = getattr(transformers, config.architectures[0])
        self.pads_left = not config.is_encoder_decoder
        self.model = kind.from_pretrained(model).eval().to(device(self.device))

    def batches(self, items: Sequence[WorkloadItem]) -> list[list[int]]:
        every = list(range(len(items)))
        return [every[start : start + _ROWS] for start in range(0, len(items), _ROWS)]

    def run(self, items: Sequence[WorkloadItem]) -> list[int]:
        written = [0] * len(items)
        for batch in self.batches(items):
            n_new = self._generate([items[index] for index in batch])
            for index in batch:
                written[index] = min(n_new, items[index].n_output)
        return written

    @torch.inference_mode()
    def _generate(self, batch: Sequence[WorkloadItem]) -> int:
        width = max(lengths(batch))
        ids, mask = [], []
        for item in batch:
            padding, ones = [0] * (width - len(item.tokens)), [1] * len(item.tokens)
            ids.append(padding + item.tokens if self.pads_left else item.tokens + padding)
            mask.append(padding + ones if self.pads_left else ones + padding)
        answer = self.model.generate(
            input_ids=torch.tensor(ids, device=self.model.device),
            attention_mask=torch.tensor(mask, device=self.model.device),
            max_new_tokens=max(item.n_output for item in batch),
            do_sample=False,
            num_beams=1,
        )
        return int(answer.shape[1]) - (width if self.pads_left else 1)


class SortedPeer(ArrivalOrderPeer):
    """Batches sorted by length, under our default token budget."""

    batch_tokens, batch_rows = 4096, 64

    def batches(self, items: Sequence[WorkloadItem]) -> list[list[int]]:
        return plan(lengths(items), self.batch_tokens, self.batch_rows)
