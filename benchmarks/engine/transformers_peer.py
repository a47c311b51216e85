"""transformers' ``generate``: a batch runs until its longest answer is written; beyond its own, a row's is cut."""

# mypy: allow-untyped-calls
# transformers ships few annotations.

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.engine.workload import Item, Workload, lengths
from worker.plan import plan

_ROWS = 16
_BUDGET_TOKENS, _BUDGET_ROWS = 4096, 64
_CLASSES = {"marian": "MarianMTModel", "llama": "LlamaForCausalLM"}


class InArrivalOrder:
    """Batches of 16."""

    def __init__(self, model: Path, workload: Workload) -> None:
        torch.set_num_threads(1)
        kind: Any = getattr(transformers, _CLASSES[workload.model])
        self.pads_left = workload.model == "llama"
        self.model = kind.from_pretrained(model).eval()

    def batches(self, items: Sequence[Item]) -> list[list[int]]:
        every = list(range(len(items)))
        return [every[start : start + _ROWS] for start in range(0, len(items), _ROWS)]

    def run(self, items: Sequence[Item]) -> list[int]:
        written = [0] * len(items)
        for batch in self.batches(items):
            n_new = self._generate([items[index] for index in batch])
            for index in batch:
                written[index] = min(n_new, items[index].n_output)
        return written

    @torch.inference_mode()
    def _generate(self, batch: Sequence[Item]) -> int:
        width = max(lengths(batch))
        ids, mask = [], []
        for item in batch:
            padding, ones = [0] * (width - len(item.tokens)), [1] * len(item.tokens)
            ids.append(padding + item.tokens if self.pads_left else item.tokens + padding)
            mask.append(padding + ones if self.pads_left else ones + padding)
        answer = self.model.generate(
            input_ids=torch.tensor(ids),
            attention_mask=torch.tensor(mask),
            max_new_tokens=max(item.n_output for item in batch),
            do_sample=False,
            num_beams=1,
        )
        return int(answer.shape[1]) - (width if self.pads_left else 1)


class Sorted(InArrivalOrder):
    """By length, under the token budget that is our default."""

    def batches(self, items: Sequence[Item]) -> list[list[int]]:
        return plan(lengths(items), _BUDGET_TOKENS, _BUDGET_ROWS)
