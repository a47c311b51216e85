"""Encoder–decoders (Marian, M2M-100 and NLLB, BART, T5): the encoder reads each source once, the decoder writes.

The encoder reads sources in bands of about equal length. The decode steps then run over all rows together.
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

#: The most padding, in tokens, that a band of sources may have. Another band costs another pass through the encoder and
#: a first step of the decoder. On a CPU both together take as long as reading some fifty tokens; in that time a GPU
#: reads thousands.
_PADDING_TOKENS, _GPU_PADDING_TOKENS = 48, 4096


class EncoderDecoderStepper:
    """A batch in an encoder–decoder. ``sources`` are sorted by length; ``capture`` enables CUDA graphs."""

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
        self._cache_keyword, self._fp16 = cache_keyword(model), kv_fp16(model)

    def start(self) -> torch.Tensor:
        """Reads the sources; returns the scores of each row's first token, ``[rows, vocabulary]``."""
        self.written = 1
        self._cross_layout = CrossLayout(self._lengths)
        self._cross = cross_cache(self._n_layers, self._cross_layout, self._fp16)
        padding = _PADDING_TOKENS if self.model.device.type == "cpu" else _GPU_PADDING_TOKENS
        pasts, logits = [], []
        for first, last in bands(self._lengths, padding):
            past = past_cache(self._n_layers, self._fp16)
            logits.append(self._read(first, last, past))
            pasts.append(past)
        self._go_on_with(concatenated_pasts(pasts))
        return torch.cat(logits)

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        """A decode step: adds one id to each row; returns the scores of the next one, ``[rows, vocabulary]``."""
        self.written += 1
        if self._capture is None:
            return self._launch(tokens)
        if self._captured is None or self.written > self._reserved:
            self._reserve(len(tokens))
            self._captured = CapturedStep(self._capture, self._write_on_device, tokens, [self.written])
        found = self._captured.run(tokens, lambda: self._launch(tokens))
        for layer in self._past.layers:
            layer.length = self.written
        return found

    def _launch(self, tokens: torch.Tensor) -> torch.Tensor:
        past = PastPlan(self._past.layers[0], self.written, self._encoded)
        return self._write(tokens, self._encoded.expand(len(tokens), -1, -1), past, self._plan, self._cache)

    def _reserve(self, n_rows: int) -> None:
        self._reserved = self.written + GRAPH_HEADROOM
        for layer in self._past.layers:
            layer.reserve(self._reserved)
        _, heads, capacity, _ = self._past.layers[0].keys.shape
        self._rows = flash_backend.FlashRowLayout(
            range(0, n_rows * capacity, capacity), [capacity] * n_rows, self.model.device
        )
        self._rows.decode_starts(heads)

    def _write_on_device(self, tokens: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        """The same as ``_launch`` for a CUDA graph, where the number of written tokens stays on the device."""
        encoded = self._encoded.expand(len(tokens), -1, -1)
        with length_on_device(self._past, count):
            return self._write(tokens, encoded, DevicePastPlan(self._rows, len(tokens), count), self._plan, self._cache)

    @property
    def positions(self) -> int:
        """The source tokens that the cross-attention cache has memory for."""
        return self._cross_layout.positions

    @property
    def token_bytes(self) -> int:
        """Bytes of keys and values for one token of a source and one token of its answer, in all layers."""
        return sum(layer.token_bytes for cache in (self._past, self._cross) for layer in cache.layers)

    def keep(self, rows: Sequence[int]) -> None:
        """Keeps only these rows, in this order; a row may occur more than once (beam search)."""
        self._captured = None
        keep_past(self._past, rows)
        self._cross_layout = keep_cross_rows(self._cross, rows)
        self._plan = CrossPlan(self._cross_layout, 0, len(rows), self._encoded)

    def reorder(self, rows: Sequence[int]) -> None:
        """Gives each row the written tokens of the named row, which must have the same source."""
        self._captured = None
        keep_past(self._past, rows)

    def _read(self, first: int, last: int, past: Any) -> torch.Tensor:
        """Encodes sources ``[first, last)`` and takes the decoder's first step, which fills the cross cache."""
        encoded = self._encode(self.sources[first:last])
        self._encoded = encoded[:1, :1]
        tokens = torch.full((last - first,), self.vocabulary.start, device=encoded.device)
        cache = EncoderDecoderCache(past, self._cross)
        past_plan = PastPlan(past.layers[0], self.written, encoded)
        return self._write(tokens, encoded, past_plan, CrossPlan(self._cross_layout, first, last, encoded), cache)

    def _go_on_with(self, past: Any) -> None:
        self._past = past
        self._cache = EncoderDecoderCache(past, self._cross)
        # Otherwise modules would compute cross-attention keys from the encoder's output again.
        self._cache.is_updated = dict.fromkeys(self._cache.is_updated, True)
        self._plan = CrossPlan(self._cross_layout, 0, len(self._lengths), self._encoded)

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
            **{self._cache_keyword: cache},
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
    """Cuts rows, sorted by length, into bands ``[first, last)`` of at most ``padding`` tokens of padding each.

    Cuts from the longest row down; returns the bands in the rows' order.
    """
    found: list[tuple[int, int]] = []
    last, total = len(lengths), 0
    for row in reversed(range(len(lengths))):
        total += lengths[last - 1] - lengths[row]
        if total > padding:
            found.append((row + 1, last))
            last, total = row + 1, 0
    return [(0, last), *reversed(found)]
