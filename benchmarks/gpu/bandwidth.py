"""Computes how many bytes decoding must read, and measures how fast this device copies memory."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch

from benchmarks.engine.model import Shape, build
from benchmarks.engine.peak import seconds
from benchmarks.engine.workload import Size

#: The layers that compute cross-attention keys and values from the encoder's output.
_CROSSING = re.compile(r"encoder_attn\.[kv]_proj\.")


@dataclass(frozen=True)
class MemoryReads:
    """Bytes that a model reads from memory."""

    #: At every decode step: the weights of the decoder and of the output layer.
    step: int
    #: Once per batch: the weights of the encoder and of the cross-attention key and value projections.
    batch: int
    #: At every decode step: keys and values of one past token, and of one source token.
    past: int
    source: int

    @classmethod
    def of(cls, shape: Shape) -> Self:
        """Counts on the meta device, without allocating weights. A tied embedding counts as the output layer."""
        with torch.device("meta"):
            model = build(shape)
        config = model.config
        output, table = model.get_output_embeddings().weight, model.get_input_embeddings().weight
        if config.is_encoder_decoder:
            layer = 2 * config.d_model * shape.dtype.itemsize
            vectors = config.decoder_layers * layer
            crossing = sum(_size(it) for name, it in model.get_decoder().named_parameters() if _CROSSING.search(name))
            step, batch = _bytes(model.get_decoder()) - crossing, _bytes(model.get_encoder()) - _size(table) + crossing
            return cls(step, batch, vectors, vectors)
        size = config.hidden_size // config.num_attention_heads
        vectors = 2 * config.num_hidden_layers * config.num_key_value_heads * size * shape.dtype.itemsize
        return cls(_bytes(model) - (0 if output is table else _size(table)), 0, vectors, 0)

    def total(self, sizes: Sequence[Size], batches: Sequence[Sequence[int]], n_prefix: int) -> int:
        """Returns the bytes for these batches of indexes. A row counts until its own end; padding does not count."""
        return sum(self._batch([sizes[place] for place in batch], n_prefix) for batch in batches)

    def _batch(self, rows: Sequence[Size], n_prefix: int) -> int:
        kept = sum(row.n_output * self._prompt(row, n_prefix) + self.past * _triangle(row.n_output) for row in rows)
        return self.batch + self.step * max(row.n_output for row in rows) + kept

    def _prompt(self, row: Size, n_prefix: int) -> int:
        n_tokens = n_prefix + row.n_input
        return n_tokens * (self.source or self.past)


def bytes_per_second(device: torch.device, size: int) -> float:
    """Copies ``size`` bytes a few times. Returns the median of bytes read and written per second."""
    source, target = torch.ones(2, size, dtype=torch.uint8, device=device)

    def copy() -> None:
        target.copy_(source)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    copy()
    return 2 * size / seconds(copy)


def _triangle(n_output: int) -> int:
    """Counts how often written tokens are read again: none at the first step, one at the second, and so on."""
    return n_output * (n_output - 1) // 2


def _bytes(module: Any) -> int:
    return sum(_size(parameter) for parameter in module.parameters())


def _size(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()
