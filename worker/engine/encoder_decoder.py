"""Encoder–decoders (Marian, M2M-100 and NLLB, BART, T5): the source is read once, the target written step by step."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutput

from worker.engine.attention import Plan
from worker.engine.cache import cache_argument, keep_rows, reorder_past, source_cache
from worker.engine.layout import Padded, Past, Source
from worker.engine.vocabulary import Vocabulary


class EncoderDecoderStepper:
    """A batch in an encoder–decoder; ``sources`` are sorted by length."""

    def __init__(self, model: Any, sources: Sequence[Sequence[int]], vocabulary: Vocabulary) -> None:
        self.model, self.vocabulary = model, vocabulary
        self.sources = sources
        self.lengths = [len(source) for source in sources]
        config = model.config
        layers = getattr(config, "decoder_layers", None) or getattr(config, "num_decoder_layers", None)
        self.cache = source_cache(int(layers or config.num_hidden_layers))
        self._cache_argument = cache_argument(model, self.cache)
        self.written = 0

    def start(self) -> torch.Tensor:
        self.encoded = self._encode()
        self.source_plan = Source(self.lengths, self.encoded)
        return self.step(torch.full((len(self.lengths),), self.vocabulary.start, device=self.encoded.device))

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        self.written += 1
        past = Past(len(self.lengths), self.written, self.encoded)
        plans: tuple[Plan, ...] = (past, self.source_plan)
        logits: torch.Tensor = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self.encoded),
            attention_mask=self.source_plan.marker,
            decoder_input_ids=tokens[:, None],
            decoder_attention_mask=past.marker,
            use_cache=True,
            **self._cache_argument,
            plans=plans,
        ).logits
        return logits[:, -1]

    @property
    def token_bytes(self) -> int:
        """For a token of a source, and one of its answer."""
        caches = self.cache.self_attention_cache, self.cache.cross_attention_cache
        return sum(layer.token_bytes for cache in caches for layer in cache.layers)

    def keep(self, rows: Sequence[int]) -> None:
        index = torch.tensor(rows, device=self.encoded.device)
        keep_rows(self.cache, index)
        # Attention reads the cache from the second step on: only the number of rows matters here.
        self.encoded = self.encoded[:1].expand(len(rows), -1, -1)
        self.lengths = [self.lengths[row] for row in rows]
        self.source_plan = Source(self.lengths, self.encoded)

    def reorder(self, rows: Sequence[int]) -> None:
        reorder_past(self.cache, torch.tensor(rows, device=self.encoded.device))

    def _encode(self) -> torch.Tensor:
        width = self.lengths[-1]
        ids = [[*source, *[self.vocabulary.pad] * (width - len(source))] for source in self.sources]
        plan = Padded(self.lengths)
        encoded: torch.Tensor = self.model.get_encoder()(
            input_ids=torch.tensor(ids, device=self.model.device), attention_mask=plan.marker, plans=(plan,)
        ).last_hidden_state
        return encoded
