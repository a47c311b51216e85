"""Keys and values of what a decoder looks at: written once, each row's in memory of about its size.

Rows of one capacity lie side by side, so that attention reads many at once, and none pays for a longer one.
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
    """Where rows lie: shared by all layers of a cache. ``lengths`` are sorted."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = list(lengths)
        #: Whether rows lie here and there, where our kernels alone can read them.
        self.is_scattered = False
        self.capacities = [rounded_to_blocks(length) for length in self.lengths]
        #: Of each row, the positions that lie before it, and of all rows together.
        *self.starts, self.positions = accumulate(self.capacities, initial=0)

    def kept(self, rows: Sequence[int]) -> "CrossLayout":
        """These rows where they are: what lay between them is still there."""
        found = CrossLayout([self.lengths[row] for row in rows])
        found.is_scattered = True
        found.starts, found.positions = [self.starts[row] for row in rows], self.positions
        return found

    def groups(self, first: int, last: int) -> list[RowGroup]:
        """The rows ``[first, last)`` by their capacity, each group with its rows' numbers among all."""
        found = equal_runs(self.capacities[first:last])
        return [RowGroup(first + group.first, first + group.last, group.size) for group in found]

    def view(self, store: torch.Tensor, group: RowGroup) -> torch.Tensor:
        """``[rows, heads, capacity, size]`` of a layer's keys or values."""
        first, last, size = group
        heads = store.shape[0] // self.positions
        start = self.starts[first] * heads
        return store[start : start + (last - first) * size * heads].view(last - first, heads, size, -1)

    def index(self, rows: Sequence[int], heads: int) -> torch.Tensor:
        """The vectors of these rows, one row's behind the other's."""
        ends = ((self.starts[row], self.starts[row] + self.capacities[row]) for row in rows)
        return torch.cat([torch.arange(start * heads, end * heads) for start, end in ends])


class CrossLayer(CacheLayerMixin):
    """One layer, ``[vectors, size]``: of every row, of every head, of every position."""

    #: Whether our kernels read it.
    is_native = False
    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, sources: CrossLayout, halves: bool = False) -> None:
        super().__init__()
        self.sources, self.halves = sources, halves
        self._n_rows = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.is_native = can_store_kv(key_states, value_states)
        dtype = kv_dtype(key_states, value_states, self.halves)
        self.keys, self.values = (self._memory(states, dtype) for states in (key_states, value_states))
        self.is_initialized = True

    def _memory(self, like: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        return allocate_kv(like, (self.sources.positions * like.shape[1], like.shape[-1]), dtype, self.is_native)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Writes the next rows, ``[rows, heads, tokens, size]``; returns all vectors, as ``sources`` lays them out."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        first, width = self._n_rows, key_states.shape[2]
        self._n_rows += key_states.shape[0]
        for group in self.sources.groups(first, self._n_rows):
            own, taken = slice(group.first - first, group.last - first), min(width, group.size)
            for store, states in ((self.keys, key_states), (self.values, value_states)):
                self.sources.view(store, group)[:, :, :taken] = clamped_to(states[own, :, :taken], store.dtype)
        return self.keys, self.values

    def keep(self, index: torch.Tensor, sources: CrossLayout) -> None:
        """Leaves these vectors, which ``sources`` lays out."""
        self.keys, self.values = self.keys.index_select(0, index), self.values.index_select(0, index)
        self.sources = sources

    @property
    def heads(self) -> int:
        return self.keys.shape[0] // self.sources.positions

    @property
    def token_bytes(self) -> int:
        """What one position takes."""
        return (self.keys.nbytes + self.values.nbytes) // self.sources.positions

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.sources.positions, 0


def cross_cache(layers: int, sources: CrossLayout, halves: bool = False) -> Any:
    """For cross-attention; ``halves`` keeps it in fp16 where our kernels read it."""
    return Cache(layers=[CrossLayer(sources, halves) for _ in range(layers)])


def keep_cross_rows(cache: Any, rows: Sequence[int]) -> CrossLayout:
    """Leaves the cache these rows, in this order; one may be there more than once. Returns where they lie now.

    Our kernels read rows wherever they lie: these are moved together only once most of the memory is of no more use.
    """
    before: CrossLayout = cache.layers[0].sources
    kept = before.kept(rows)
    used = sum(kept.capacities)
    if used * 2 > kept.positions and cache.layers[0].is_native:
        for layer in cache.layers:
            layer.sources = kept
        return kept
    kept = CrossLayout(kept.lengths)
    index = before.index(rows, cache.layers[0].heads).to(cache.layers[0].keys.device)
    for layer in cache.layers:
        layer.keep(index, kept)
    return kept
