"""Keys and values of past tokens, in memory that grows by doubling instead of by a copy at each step.

Layers hold ``[rows, heads, capacity, head size]``. Memory is zeroed: what a mask hides must still be finite.
"""

# mypy: allow-untyped-calls
# transformers ships few annotations.

import inspect
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import torch
from transformers.cache_utils import Cache, CacheLayerMixin, EncoderDecoderCache

#: Attention over the past runs on lengths rounded up to this. The products' shapes then follow from a row's own length,
#: never its neighbours': torch picks kernels by shape, and another kernel adds in another order.
BLOCK = 32


def blocks(length: int) -> int:
    """``length`` rounded up to whole blocks."""
    return -(-length // BLOCK) * BLOCK


class Group(NamedTuple):
    """Consecutive rows ``[first, last)`` of one size."""

    first: int
    last: int
    size: int


def grouped(sizes: Sequence[int]) -> list[Group]:
    """Runs of equal sizes; one group for each size where rows are sorted."""
    groups: list[Group] = []
    for size, run in groupby(sizes):
        first = groups[-1].last if groups else 0
        groups.append(Group(first, first + sum(1 for _ in run), size))
    return groups


def resized(tensor: torch.Tensor, capacity: int) -> torch.Tensor:
    """A copy with ``capacity`` positions, new ones zero."""
    rows, heads, length, size = tensor.shape
    larger = tensor.new_zeros(rows, heads, capacity, size)
    larger[:, :, :length] = tensor
    return larger


class _Layer(CacheLayerMixin):
    """What every layer here shares."""

    keys: torch.Tensor
    values: torch.Tensor
    length = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        rows, heads, _, size = key_states.shape
        self.keys = key_states.new_zeros(rows, heads, 0, size)
        self.values = value_states.new_zeros(rows, heads, 0, value_states.shape[-1])
        self.is_initialized = True

    def reserve(self, length: int) -> None:
        if length > self.keys.shape[2]:
            capacity = blocks(max(length, 2 * self.keys.shape[2]))
            self.keys, self.values = resized(self.keys, capacity), resized(self.values, capacity)

    def keep(self, rows: torch.Tensor) -> None:
        if self.is_initialized:
            self.keys, self.values = self.keys.index_select(0, rows), self.values.index_select(0, rows)

    def get_seq_length(self) -> int:
        return self.length

    def get_max_length(self) -> int:
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0


class PastLayer(_Layer):
    """Self-attention where every row has the same number of past tokens."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends ``[rows, heads, new, head size]``; returns all positions, rounded up to whole blocks."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        end = self.length + key_states.shape[2]
        self.reserve(end)
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, : blocks(end)], self.values[:, :, : blocks(end)]


class SourceLayer(_Layer):
    """Cross-attention: written once, padded to whole blocks."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.length = key_states.shape[2]
        capacity = blocks(self.length)
        self.keys, self.values = resized(key_states, capacity), resized(value_states, capacity)
        self.is_initialized = True
        return self.keys, self.values


class SlotLayer(_Layer):
    """Self-attention where rows have lengths of their own and tokens arrive packed, as one long row."""

    def __init__(self, slots: "Slots") -> None:
        super().__init__()
        self.slots = slots

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Writes ``[1, heads, tokens, head size]`` where ``slots`` says.

        Returns ``[rows, heads, capacity, head size]``, or what came in where whole prompts did: nothing is before them.
        """
        if not self.is_initialized:
            rows = key_states.expand(len(self.slots.lengths), -1, -1, -1)
            self.lazy_initialization(rows, value_states.expand(len(self.slots.lengths), -1, -1, -1))
        self.reserve(self.slots.longest)
        index = self.slots.index(self.keys.shape[1], self.keys.shape[2], self.keys.device)
        for store, new in ((self.keys, key_states), (self.values, value_states)):
            store.view(-1, store.shape[-1]).index_copy_(0, index, new.reshape(-1, store.shape[-1]))
        return (key_states, value_states) if self.slots.are_new else (self.keys, self.values)


class Slots:
    """Where the packed tokens of a forward pass belong: shared by all layers of a cache."""

    def __init__(self, lengths: Sequence[int]) -> None:
        #: Tokens of each row, those of the running forward pass included.
        self.lengths = list(lengths)
        #: Whether the running forward pass is the prompts' own.
        self.are_new = True
        self._index: torch.Tensor | None = None

    @property
    def longest(self) -> int:
        return max(self.lengths)

    def advance(self) -> None:
        """One more token for each row."""
        self.lengths = [length + 1 for length in self.lengths]
        self.are_new = False
        self._index = None

    def keep(self, rows: Sequence[int]) -> None:
        self.lengths = [self.lengths[row] for row in rows]

    def index(self, heads: int, capacity: int, device: torch.device) -> torch.Tensor:
        """For each head, then each new token: its place among the ``rows × heads × capacity`` stored vectors."""
        if self._index is None:
            places = [
                row * heads * capacity + position
                for row, length in enumerate(self.lengths)
                for position in range(0 if self.are_new else length - 1, length)
            ]
            offsets = torch.arange(heads, device=device)[:, None] * capacity
            self._index = (offsets + torch.tensor(places, device=device)).flatten()
        return self._index


def source_cache(layers: int) -> Any:
    """For an encoder–decoder."""
    past = Cache(layers=[PastLayer() for _ in range(layers)])
    return EncoderDecoderCache(past, Cache(layers=[SourceLayer() for _ in range(layers)]))


def slot_cache(layers: int, slots: Slots) -> Any:
    """For a decoder-only model."""
    return Cache(layers=[SlotLayer(slots) for _ in range(layers)])


def keep_rows(cache: Any, rows: torch.Tensor) -> None:
    """Drops all rows but those of the index, keeping their order."""
    parts = (cache.self_attention_cache, cache.cross_attention_cache) if hasattr(cache, "is_updated") else (cache,)
    for layer in (layer for part in parts for layer in part.layers):
        layer.keep(rows)


def cache_argument(model: Any, cache: Any) -> dict[str, Any]:
    """The cache under the name that the model's forward has for it: transformers 5.24 renamed it, and warns of the old.

    Looks through the signature: once a batch, not once a step.
    """
    return {"cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values": cache}
