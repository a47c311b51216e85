"""The cross-attention KV cache: keys and values of the encoder's output, written once and read at each decode step.

Each row has memory for about its own length. Rows of equal capacity are adjacent, so that attention reads many at once
and no row pays for a longer one.
"""

# mypy: allow-untyped-calls
# transformers ships few annotations.

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from worker.engine.transformer.attention.kv_past import RowGroup, allocate_kv, equal_runs, rounded_to_blocks
from worker.engine.transformer.native.tokens import can_store_kv, clamped_to, kv_dtype


class CrossLayout:
    """Where rows are in memory, for all layers of a cache. ``lengths`` are in tokens, sorted."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = list(lengths)
        #: Whether rows are no longer adjacent; only our own kernels can then read them.
        self.is_scattered = False
        self.capacities = [rounded_to_blocks(length) for length in self.lengths]
        #: For each row the number of positions before it; then the number of all positions.
        *self.starts, self.positions = accumulate(self.capacities, initial=0)

    def kept(self, rows: Sequence[int]) -> "CrossLayout":
        """A layout of these rows in their present places, with unused memory between them."""
        found = CrossLayout([self.lengths[row] for row in rows])
        found.is_scattered = True
        found.starts, found.positions = [self.starts[row] for row in rows], self.positions
        return found

    def groups(self, first: int, last: int) -> list[RowGroup]:
        """The rows ``[first, last)`` grouped by capacity; groups count rows from the first of all."""
        found = equal_runs(self.capacities[first:last])
        return [RowGroup(first + group.first, first + group.last, group.size) for group in found]

    def view(self, part: torch.Tensor, group: RowGroup) -> torch.Tensor:
        """A view ``[rows, heads, capacity, size]`` of a group, in a layer's keys or values ``[vectors, size]``."""
        first, last, size = group
        heads = part.shape[0] // self.positions
        start = self.starts[first] * heads
        return part[start : start + (last - first) * size * heads].view(last - first, heads, size, -1)

    def index(self, rows: Sequence[int], heads: int) -> torch.Tensor:
        """The indices of these rows' vectors, row after row."""
        ends = ((self.starts[row], self.starts[row] + self.capacities[row]) for row in rows)
        return torch.cat([torch.arange(start * heads, end * heads) for start, end in ends])


class CrossLayer(CacheLayerMixin):
    """One layer's keys and values, ``[vectors, size]``: a vector for each row, head and position, in this order."""

    #: Whether our kernels read this layer.
    is_native = False
    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, layout: CrossLayout, fp16: bool = False) -> None:
        super().__init__()
        self.layout, self.fp16 = layout, fp16
        self._n_rows = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.is_native = can_store_kv(key_states, value_states)
        dtype = kv_dtype(key_states, value_states, self.fp16)
        self.keys, self.values = (self._memory(states, dtype) for states in (key_states, value_states))
        self.is_initialized = True

    def _memory(self, like: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        return allocate_kv(like, (self.layout.positions * like.shape[1], like.shape[-1]), dtype, self.is_native)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Writes the next rows, ``[rows, heads, tokens, size]``; returns all vectors, in the order of ``layout``."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        first, width = self._n_rows, key_states.shape[2]
        self._n_rows += key_states.shape[0]
        for group in self.layout.groups(first, self._n_rows):
            own, taken = slice(group.first - first, group.last - first), min(width, group.size)
            for part, states in ((self.keys, key_states), (self.values, value_states)):
                self.layout.view(part, group)[:, :, :taken] = clamped_to(states[own, :, :taken], part.dtype)
        return self.keys, self.values

    def keep(self, index: torch.Tensor, layout: CrossLayout) -> None:
        """Keeps the vectors of these indices, whose order ``layout`` describes."""
        self.keys, self.values = self.keys.index_select(0, index), self.values.index_select(0, index)
        self.layout = layout

    @property
    def heads(self) -> int:
        return self.keys.shape[0] // self.layout.positions

    @property
    def token_bytes(self) -> int:
        """Bytes per token of one row."""
        return (self.keys.nbytes + self.values.nbytes) // self.layout.positions

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.layout.positions, 0


def cross_cache(layers: int, layout: CrossLayout, fp16: bool = False) -> Any:
    """An empty cross-attention cache. ``fp16`` stores it in fp16 if our kernels can read it."""
    return Cache(layers=[CrossLayer(layout, fp16) for _ in range(layers)])


def keep_cross_rows(cache: Any, rows: Sequence[int]) -> CrossLayout:
    """Keeps these rows of the cache, in this order; a row may occur more than once. Returns the new layout.

    Our kernels find rows wherever they are, so rows are copied together only once half of the memory is unused.
    """
    before: CrossLayout = cache.layers[0].layout
    kept = before.kept(rows)
    used = sum(kept.capacities)
    if used * 2 > kept.positions and cache.layers[0].is_native:
        for layer in cache.layers:
            layer.layout = kept
        return kept
    kept = CrossLayout(kept.lengths)
    index = before.index(rows, cache.layers[0].heads).to(cache.layers[0].keys.device)
    for layer in cache.layers:
        layer.keep(index, kept)
    return kept
