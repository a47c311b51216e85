"""Encoder–decoders (Marian, M2M-100 and NLLB, BART, T5): the source is read once, the target written step by step.

Sources of like length are read together; the answers of all are then written together, whatever their lengths.
"""

# mypy: allow-untyped-calls
# transformers ships few annotations.

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from worker.engine.transformer.attention import flash_backend
from worker.engine.transformer.attention.graph import GRAPH_HEADROOM, CaptureContext, CapturedStep
from worker.engine.transformer.attention.interface import AttentionPlan
from worker.engine.transformer.attention.kv_cross import CrossLayout, cross_cache, keep_cross_rows
from worker.engine.transformer.attention.kv_past import (
    cache_keyword,
    concatenated_pasts,
    keep_past,
    kv_fp16,
    length_on_device,
    past_cache,
)
from worker.engine.transformer.attention.plans import CrossPlan, DevicePastPlan, PaddedPlan, PastPlan
from worker.engine.transformer.decode.vocabulary import Vocabulary

#: Tokens of padding that are worth another pass through the encoder, and a first step of the decoder: on a CPU both
#: together take as long as reading some fifty tokens; a GPU reads thousands meanwhile.
_PADDING_TOKENS, _GPU_PADDING_TOKENS = 48, 4096


class EncoderDecoderStepper:
    """A batch in an encoder–decoder; ``sources`` are sorted by length."""

    def __init__(
        self,
        model: Any,
        sources: Sequence[Sequence[int]],
        vocabulary: Vocabulary,
        capture: CaptureContext | None = None,
    ) -> None:
        self.model, self.vocabulary, self.sources = model, vocabulary, sources
        self._capture = capture
        self._captured: CapturedStep | None = None
        config = model.config
        layers = getattr(config, "decoder_layers", None) or getattr(config, "num_decoder_layers", None)
        self._n_layers = int(layers or config.num_hidden_layers)
        self._lengths = [len(source) for source in sources]
        self._cache_name, self._halves = cache_keyword(model), kv_fp16(model)

    def start(self) -> torch.Tensor:
        self.written = 1
        self._layout = CrossLayout(self._lengths)
        self._cross = cross_cache(self._n_layers, self._layout, self._halves)
        padding = _PADDING_TOKENS if self.model.device.type == "cpu" else _GPU_PADDING_TOKENS
        pasts, logits = [], []
        for first, last in bands(self._lengths, padding):
            past = past_cache(self._n_layers, self._halves)
            logits.append(self._read(first, last, past))
            pasts.append(past)
        self._go_on_with(concatenated_pasts(pasts))
        return torch.cat(logits)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        self.written += 1
        if self._capture is None:
            return self._launch(tokens)
        if self._captured is None or self.written > self._room:
            self._make_room(len(tokens))
            self._captured = CapturedStep(self._capture, self._write_told, tokens, [self.written])
        found = self._captured.run(tokens, lambda: self._launch(tokens))
        for layer in self._past.layers:
            layer.length = self.written
        return found

    def _launch(self, tokens: torch.Tensor) -> torch.Tensor:
        past = PastPlan(self._past.layers[0], self.written, self._encoded)
        return self._write(tokens, self._encoded.expand(len(tokens), -1, -1), past, self._plan, self._cache)

    def _make_room(self, n_rows: int) -> None:
        self._room = self.written + GRAPH_HEADROOM
        for layer in self._past.layers:
            layer.reserve(self._room)
        _, heads, capacity, _ = self._past.layers[0].keys.shape
        self._rows = flash_backend.FlashRowLayout(
            range(0, n_rows * capacity, capacity), [capacity] * n_rows, self.model.device
        )
        self._rows.of_heads(heads)

    def _write_told(self, tokens: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        """The same as ``_launch``, where the length of what was written is known on the device alone."""
        encoded = self._encoded.expand(len(tokens), -1, -1)
        with length_on_device(self._past, count):
            return self._write(tokens, encoded, DevicePastPlan(self._rows, len(tokens), count), self._plan, self._cache)

    @property
    def positions(self) -> int:
        """Tokens of sources that there is room for."""
        return self._layout.positions

    @property
    def token_bytes(self) -> int:
        """For a token of a source, and one of its answer."""
        return sum(layer.token_bytes for cache in (self._past, self._cross) for layer in cache.layers)

    def keep(self, rows: Sequence[int]) -> None:
        self._captured = None
        keep_past(self._past, rows)
        self._layout = keep_cross_rows(self._cross, rows)
        self._plan = CrossPlan(self._layout, 0, len(rows), self._encoded)

    def reorder(self, rows: Sequence[int]) -> None:
        self._captured = None
        keep_past(self._past, rows)

    def _read(self, first: int, last: int, past: Any) -> torch.Tensor:
        """Sources ``[first, last)`` through the encoder, and the decoder's first step, which keeps what it looks at."""
        encoded = self._encode(self.sources[first:last])
        self._encoded = encoded[:1, :1]
        tokens = torch.full((last - first,), self.vocabulary.start, device=encoded.device)
        cache = EncoderDecoderCache(past, self._cross)
        past_plan = PastPlan(past.layers[0], self.written, encoded)
        return self._write(tokens, encoded, past_plan, CrossPlan(self._layout, first, last, encoded), cache)

    def _go_on_with(self, past: Any) -> None:
        self._past = past
        self._cache = EncoderDecoderCache(past, self._cross)
        # Or modules would look for the sources in what the encoder gave.
        self._cache.is_updated = dict.fromkeys(self._cache.is_updated, True)
        self._plan = CrossPlan(self._layout, 0, len(self._lengths), self._encoded)

    def _write(
        self, tokens: torch.Tensor, encoded: torch.Tensor, past: AttentionPlan, source: AttentionPlan, cache: Any
    ) -> torch.Tensor:
        plans = (past, source)
        logits: torch.Tensor = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
            attention_mask=source.marker,
            decoder_input_ids=tokens[:, None],
            decoder_attention_mask=past.marker,
            use_cache=True,
            **{self._cache_name: cache},
            plans=plans,
        ).logits
        return logits[:, -1]

    def _encode(self, sources: Sequence[Sequence[int]]) -> torch.Tensor:
        width = len(sources[-1])
        ids = [[*source, *[self.vocabulary.pad] * (width - len(source))] for source in sources]
        plan = PaddedPlan([len(source) for source in sources])
        encoded: torch.Tensor = self.model.get_encoder()(
            input_ids=torch.tensor(ids, device=self.model.device), attention_mask=plan.marker, plans=(plan,)
        ).last_hidden_state
        return encoded


def bands(lengths: Sequence[int], padding: int) -> list[tuple[int, int]]:
    """Cuts sorted rows into ``[first, last)`` that are each padded by at most so many tokens, beginning at the longest.

    Returned in the rows' order.
    """
    found: list[tuple[int, int]] = []
    last, total = len(lengths), 0
    for row in reversed(range(len(lengths))):
        total += lengths[last - 1] - lengths[row]
        if total > padding:
            found.append((row + 1, last))
            last, total = row + 1, 0
    return [(0, last), *reversed(found)]
