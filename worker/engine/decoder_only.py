"""Decoder-only models (Llama, Qwen, Mistral): prompts are read packed, without padding, and continued row by row."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch

from worker.engine.attention import Plan
from worker.engine.cache import Slots, cache_argument, keep_rows, slot_cache
from worker.engine.layout import Segments, Slotted

#: Values of ``model_type`` whose modules are known to hand attention its plan.
FITTING = frozenset({"llama", "mistral", "qwen2", "qwen3"})


class DecoderOnlyStepper:
    """A batch in a decoder-only model; ``prompts`` are sorted by length."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]]) -> None:
        self.model, self.prompts = model, prompts
        self.slots = Slots([len(prompt) for prompt in prompts])
        self.cache = slot_cache(model.config.num_hidden_layers, self.slots)
        self._cache_argument = cache_argument(model, self.cache)

    def start(self) -> torch.Tensor:
        lengths = self.slots.lengths
        tokens = torch.tensor([token for prompt in self.prompts for token in prompt], device=self.model.device)
        positions = torch.cat([torch.arange(length) for length in lengths]).to(self.model.device)
        last = torch.tensor(list(accumulate(lengths)), device=self.model.device) - 1
        return self._forward(tokens, positions, Segments(lengths), last)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        self.slots.advance()
        plan = Slotted(self.slots.lengths, tokens)
        return self._forward(tokens, plan.lengths - 1, plan, 0)

    def keep(self, rows: Sequence[int]) -> None:
        self.slots.keep(rows)
        keep_rows(self.cache, torch.tensor(rows, device=self.model.device))

    def _forward(
        self, tokens: torch.Tensor, positions: torch.Tensor, plan: Plan, logits_to_keep: torch.Tensor | int
    ) -> torch.Tensor:
        logits: torch.Tensor = self.model(
            input_ids=tokens[None],
            position_ids=positions[None],
            attention_mask=plan.marker,
            use_cache=True,
            **self._cache_argument,
            logits_to_keep=logits_to_keep,
            plans=(plan,),
        ).logits
        return logits[0]
