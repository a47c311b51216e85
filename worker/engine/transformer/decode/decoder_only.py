"""Decoder-only models (Llama, Qwen, Gemma): packed prefill without padding, then decode steps of all rows.

What all prompts of a batch begin with is computed once, and kept in the prefix cache for later batches.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch

from worker.engine.transformer.attention.graph import GRAPH_HEADROOM, CaptureContext, CapturedStep
from worker.engine.transformer.attention.interface import AttentionPlan
from worker.engine.transformer.attention.kv_past import cache_keyword, kv_fp16
from worker.engine.transformer.attention.kv_slots import PrefixKV, SlotLayout, slot_cache
from worker.engine.transformer.attention.plans import DecodePlan, PrefillPlan
from worker.engine.transformer.attention.prefix_cache import PrefixCache, shared_prefix_length


class DecoderOnlyStepper:
    """A batch in a decoder-only model. ``prompts`` are sorted by length; ``capture`` enables CUDA graphs."""

    def __init__(
        self, model: Any, prompts: Sequence[Sequence[int]], prefixes: PrefixCache, capture: CaptureContext | None = None
    ) -> None:
        self.model, self.prompts, self.prefixes = model, prompts, prefixes
        self._capture = capture
        self._captured: CapturedStep | None = None

    def start(self) -> torch.Tensor:
        """Prefill: reads the prompts; returns the scores of each row's first token, ``[rows, vocabulary]``."""
        known, layers = self._prefix()
        ahead = 0 if self._capture is None else GRAPH_HEADROOM
        self.slots = SlotLayout([len(prompt) for prompt in self.prompts], known, ahead)
        self.cache = slot_cache(self.model.config.num_hidden_layers, self.slots, layers, kv_fp16(self.model))
        self._cache_argument = {cache_keyword(self.model): self.cache}
        new = [prompt[known:] for prompt in self.prompts]
        tokens = torch.tensor([token for each in new for token in each], device=self.model.device)
        positions = torch.cat([torch.arange(known, known + len(each)) for each in new]).to(self.model.device)
        last = torch.tensor(list(accumulate(map(len, new))), device=self.model.device) - 1
        return self._forward(tokens, positions, PrefillPlan(self.slots, known, tokens), last)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """A decode step: adds one id to each row; returns the scores of the next one, ``[rows, vocabulary]``."""
        version = self.slots.version
        self.slots.advance()
        if self._capture is None:
            return self._launch(tokens)
        if self._captured is None or version != self.slots.version:
            self._captured = CapturedStep(self._capture, self._write, tokens, self.slots.lengths)
        return self._captured.run(tokens, lambda: self._launch(tokens))

    def _launch(self, tokens: torch.Tensor) -> torch.Tensor:
        lengths = torch.tensor(self.slots.lengths, device=tokens.device)
        return self._forward(tokens, lengths - 1, DecodePlan(self.slots, lengths), 0)

    def _write(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """The same step for a CUDA graph, where lengths stay on the device."""
        with self.slots.lengths_on_device(lengths):
            return self._forward(tokens, lengths - 1, DecodePlan(self.slots, lengths, on_device=True), 0)

    @property
    def token_bytes(self) -> int:
        """Bytes of keys and values per token, in all layers."""
        return sum(layer.token_bytes for layer in self.cache.layers)

    def keep(self, rows: Sequence[int]) -> None:
        """Keeps only these rows, in this order."""
        self.slots.keep(rows)

    def join(self, other: "DecoderOnlyStepper") -> list[int]:
        """Adds another batch's rows behind these; returns the order that all rows have from now on."""
        for layer, joining in zip(self.cache.layers, other.cache.layers, strict=True):
            layer.join(joining)
        return self.slots.join(other.slots)

    def _prefix(self) -> tuple[int, list[PrefixKV]]:
        """The prompts' shared prefix: its length and its layers.

        Takes it from the cache, or computes and caches it if there are several prompts.
        """
        n_shared = shared_prefix_length(self.prompts)
        first = self.prompts[0][:n_shared]
        known, layers = self.prefixes.longest(first)
        if known == n_shared or len(self.prompts) == 1:
            return known, layers
        alone = DecoderOnlyStepper(self.model, [first], self.prefixes, self._capture)
        alone.start()
        layers = [layer.stored(n_shared) for layer in alone.cache.layers]
        self.prefixes.put(first, layers)
        return n_shared, layers

    def _forward(
        self, tokens: torch.Tensor, positions: torch.Tensor, plan: AttentionPlan, logits_to_keep: torch.Tensor | int
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
