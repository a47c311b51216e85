"""What decoding has to read, and how fast this device copies."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch

from benchmarks.engine.model import Shape, build
from benchmarks.engine.peak import seconds
from benchmarks.engine.workload import Size

#: Makes keys and values of the encoder's output.
_CROSSING = re.compile(r"encoder_attn\.[kv]_proj\.")


@dataclass(frozen=True)
class MemoryReads:
    """Bytes of a model that are read."""

    #: At each step: the weights of the decoder and of the vocabulary's layer.
    step: int
    #: Once a batch: those of the encoder, and of what the decoder makes of its output.
    batch: int
    #: Keys and values of one past token, and of one token of a source, at each step.
    past: int
    source: int

    @classmethod
    def of(cls, shape: Shape) -> Self:
        """Nothing of the size of the model is made. A tied embedding is the vocabulary's layer and is read as such."""
        with torch.device("meta"):
            model = build(shape)
        config = model.config
        head, table = model.get_output_embeddings().weight, model.get_input_embeddings().weight
        if config.is_encoder_decoder:
            layer = 2 * config.d_model * shape.dtype.itemsize
            vectors = config.decoder_layers * layer
            crossing = sum(_size(it) for name, it in model.get_decoder().named_parameters() if _CROSSING.search(name))
            step, batch = _bytes(model.get_decoder()) - crossing, _bytes(model.get_encoder()) - _size(table) + crossing
            return cls(step, batch, vectors, vectors)
        size = config.hidden_size // config.num_attention_heads
        vectors = 2 * config.num_hidden_layers * config.num_key_value_heads * size * shape.dtype.itemsize
        return cls(_bytes(model) - (0 if head is table else _size(table)), 0, vectors, 0)

    def total(self, sizes: Sequence[Size], batches: Sequence[Sequence[int]], n_prefix: int) -> int:
        """Of these batches, given by places: a row is read until its own end, and no padding."""
        return sum(self._batch([sizes[place] for place in batch], n_prefix) for batch in batches)

    def _batch(self, rows: Sequence[Size], n_prefix: int) -> int:
        kept = sum(row.n_output * self._prompt(row, n_prefix) + self.past * _triangle(row.n_output) for row in rows)
        return self.batch + self.step * max(row.n_output for row in rows) + kept

    def _prompt(self, row: Size, n_prefix: int) -> int:
        n_tokens = n_prefix + row.n_input
        return n_tokens * (self.source or self.past)


def bytes_per_second(device: torch.device, size: int) -> float:
    """Bytes read and written a second while ``size`` bytes are copied; the median of a few copies."""
    source, target = torch.ones(2, size, dtype=torch.uint8, device=device)

    def copy() -> None:
        target.copy_(source)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    copy()
    return 2 * size / seconds(copy)


def _triangle(n_output: int) -> int:
    """Written tokens that are read again: none at the first step, one at the second, and so on."""
    return n_output * (n_output - 1) // 2


def _bytes(module: Any) -> int:
    return sum(_size(parameter) for parameter in module.parameters())


def _size(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()
