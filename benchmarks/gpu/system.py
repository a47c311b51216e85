"""The systems of the GPU benchmark, in bf16 under one token budget. Without a GPU they run on the CPU."""

# mypy: allow-untyped-calls
# transformers ships few annotations.

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.engine.ours import Int8System
from benchmarks.engine.transformers_peer import ArrivalOrderPeer, SortedPeer
from benchmarks.engine.workload import PAD, Workload, WorkloadItem

_BATCH_TOKENS, _BATCH_ROWS = 131_072, 512
#: The cache's share of the memory that is free once the model is loaded. The other systems' batches need the rest.
_CACHE_SHARE = 0.4
#: The cache's blocks on a CPU, where it would otherwise take its share of the machine's memory.
_CPU_BLOCKS = 64


class Bf16System(Int8System):
    quantization = "bf16"
    device = "auto"
    batch_tokens = dict.fromkeys(("marian", "llama"), _BATCH_TOKENS)
    batch_rows = _BATCH_ROWS


class SortedGpuPeer(SortedPeer):
    device = "auto"
    batch_tokens, batch_rows = _BATCH_TOKENS, _BATCH_ROWS


class ContinuousBatchingPeer:
    """transformers' continuous batching. Each item ends at its own length; the cache is kept between rounds."""

    def __init__(self, model: Path, workload: Workload) -> None:
        hub: Any = transformers
        loaded = _GpuPeer(model, workload).model
        wanted = hub.GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=PAD)
        blocks = None if loaded.device.type == "cuda" else _CPU_BLOCKS
        cache = hub.ContinuousBatchingConfig(max_memory_percent=_CACHE_SHARE, num_blocks=blocks)
        self.manager = loaded.init_continuous_batching(wanted, cache)
        with torch.no_grad():
            self.manager.warmup()
        self.manager.start()
        self.numbers = count()

    def run(self, items: Sequence[WorkloadItem]) -> list[int]:
        places = {f"item-{next(self.numbers)}": place for place in range(len(items))}
        for name, place in places.items():
            self.manager.add_request(
                items[place].tokens, request_id=name, max_new_tokens=items[place].n_output, eos_token_id=-1
            )
        written = [0] * len(items)
        waiting = len(items)
        while waiting:
            answer = self.manager.get_result(timeout=1)
            if answer is None and not self.manager.is_running():
                raise RuntimeError("transformers' continuous batching stopped before every item was answered")
            if answer is not None and answer.is_finished():
                written[places[answer.request_id]] = len(answer.generated_tokens)
                waiting -= 1
        return written


class _GpuPeer(ArrivalOrderPeer):
    device = "auto"
