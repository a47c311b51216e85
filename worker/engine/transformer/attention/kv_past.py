"""Keys and values of past tokens, in memory that grows by doubling instead of by a copy at each step."""

# mypy: allow-untyped-calls
# transformers ships few annotations.

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from worker.engine.transformer.attention.graph import DeviceCount
from worker.engine.transformer.native.tokens import can_store_kv, clamped_to, kv_dtype, store_kv

#: Attention over the past runs on lengths rounded up, by this at least. The products' shapes then follow from a row's
#: own length, never its neighbours': torch picks kernels by shape, and another kernel adds in another order.
BLOCK = 32
#: Prompts are read in steps of so many tokens: as many wherever the prompt lies, and whatever of it is known already.
CHUNK = 64


def rounded_to_blocks(length: int) -> int:
    """``length`` rounded up to whole blocks, of which there are at most eight sizes from any length to its fourfold:
    few sizes are few calls, and the padding is a tenth on average.
    """
    block = max(BLOCK, 1 << max(0, (length - 1).bit_length() - 3))
    return -(-length // block) * block


def chunk_count(length: int) -> int:
    """How many chunks hold so many tokens."""
    return -(-length // CHUNK)


class RowGroup(NamedTuple):
    """Consecutive rows ``[first, last)`` of one size."""

    first: int
    last: int
    size: int


def equal_runs(sizes: Sequence[int]) -> list[RowGroup]:
    """Runs of equal sizes; one group for each size where rows are sorted."""
    groups: list[RowGroup] = []
    for size, run in groupby(sizes):
        first = groups[-1].last if groups else 0
        groups.append(RowGroup(first, first + sum(1 for _ in run), size))
    return groups


def allocate_kv(like: torch.Tensor, shape: Sequence[int], dtype: torch.dtype, is_native: bool) -> torch.Tensor:
    """Memory for keys or values. What a mask hides must still be finite; our kernels read nothing that is hidden."""
    return (like.new_empty if is_native else like.new_zeros)(shape, dtype=dtype)


class PastLayer(CacheLayerMixin):
    """Self-attention where every row has the same number of past tokens, ``[places, heads, capacity, head size]``."""

    keys: torch.Tensor
    values: torch.Tensor
    #: The place where each row lies. What our kernels read may lie in any order, with places of ended rows between.
    rows: Sequence[int] = ()
    #: Whether they do.
    is_native = False
    length = 0
    #: ``length`` with the next token, where it is known on the device alone, ``[1]``.
    device_length: torch.Tensor | None = None

    def __init__(self, halves: bool = False) -> None:
        super().__init__()
        self.halves = halves

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        dtype = kv_dtype(key_states, value_states, self.halves)
        keys, values = (states[:, :, :0].to(dtype) for states in (key_states, value_states))
        self.hold(keys, values, 0, can_store_kv(key_states, value_states))

    def hold(self, keys: torch.Tensor, values: torch.Tensor, length: int, is_native: bool) -> None:
        """Rows of ``length`` tokens each, in their order."""
        self.keys, self.values, self.rows = keys, values, range(len(keys))
        self.length, self.is_native, self.is_initialized = length, is_native, True

    def reserve(self, length: int) -> None:
        if length > self.keys.shape[2]:
            is_in_order = self.rows == range(len(self.keys))
            self.move(
                None if is_in_order else torch.tensor(self.rows), rounded_to_blocks(max(length, 2 * self.keys.shape[2]))
            )

    def move(self, places: torch.Tensor | None, capacity: int) -> None:
        """Leaves the rows at these places, or all, in this order, with room for so many tokens."""
        keys, values = (self._moved(store, places, capacity) for store in (self.keys, self.values))
        self.hold(keys, values, self.length, self.is_native)

    def _moved(self, store: torch.Tensor, places: torch.Tensor | None, capacity: int) -> torch.Tensor:
        taken = store[:, :, : self.length]
        if places is not None:
            taken = taken.index_select(0, places)
        larger = allocate_kv(
            store, (len(taken), store.shape[1], capacity, store.shape[-1]), store.dtype, self.is_native
        )
        larger[:, :, : self.length] = taken
        return larger

    @property
    def token_bytes(self) -> int:
        """What one token of one row takes."""
        return sum(store[0, :, 0].nbytes for store in (self.keys, self.values))

    def get_seq_length(self) -> Any:
        return self.length if self.device_length is None else (self.device_length[0] - 1).as_subclass(DeviceCount)

    def get_max_length(self) -> int:
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends ``[rows, heads, new, head size]``; returns all positions, rounded up to whole blocks.

        Where it is told: one new position, and all that there is room for.
        """
        if self.device_length is not None:
            for kept, states in ((self.keys, key_states), (self.values, value_states)):
                kept.index_copy_(2, self.device_length - 1, states)
            return self.keys, self.values
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, end = self.length, self.length + int(key_states.shape[2])
        self.reserve(end)
        self.length = end
        if end == start + 1 and can_store_kv(key_states, value_states):
            places = _places(self.rows, *self.keys.shape[1:3], start)
            store_kv(key_states[:, :, 0], value_states[:, :, 0], self.keys, self.values, places)
        else:
            self.keys[:, :, start:end] = clamped_to(key_states, self.keys.dtype)
            self.values[:, :, start:end] = clamped_to(value_states, self.values.dtype)
        return self.keys[:, :, : rounded_to_blocks(end)], self.values[:, :, : rounded_to_blocks(end)]


@lru_cache(maxsize=16)
def _places(rows: Sequence[int], heads: int, capacity: int, place: int) -> torch.Tensor:
    """Where the tokens at ``place`` of all rows go, the same in every layer; ``native.tokens.store`` reads it."""
    starts = torch.tensor(rows) * (heads * capacity) + place
    return torch.stack([starts, torch.full((len(rows),), capacity)])


def past_cache(layers: int, halves: bool = False) -> Any:
    """For self-attention; ``halves`` keeps it in fp16 where our kernels read it."""
    return Cache(layers=[PastLayer(halves) for _ in range(layers)])


def kv_fp16(model: Any) -> bool:
    """Whether its keys and values lose nothing that counts in fp16: ``precision.apply`` knows."""
    return bool(getattr(model, "kv_fp16", False))


def concatenated_pasts(caches: Sequence[Any]) -> Any:
    """One past of several that are equally long: the rows of the first, then those of the next."""
    if len(caches) == 1:
        return caches[0]
    made = past_cache(len(caches[0].layers))
    for layer, *parts in zip(made.layers, *(cache.layers for cache in caches), strict=True):
        keys, values = (torch.cat([getattr(part, name) for part in parts]) for name in ("keys", "values"))
        layer.hold(keys, values, parts[0].length, parts[0].is_native)
    return made


def keep_past(cache: Any, rows: Sequence[int]) -> None:
    """Leaves a past these rows, in this order; one may be there more than once.

    Where our kernels read them they stay where they are, until half of the memory is of no more use.
    """
    first: PastLayer = cache.layers[0]
    places = tuple(first.rows[row] for row in rows)
    if first.is_native and len(set(places)) == len(places) and 2 * len(places) > len(first.keys):
        for layer in cache.layers:
            layer.rows = places
        return
    index = torch.tensor(places, device=first.keys.device)
    for layer in cache.layers:
        layer.move(index, layer.keys.shape[2])


@contextmanager
def length_on_device(cache: Any, count: torch.Tensor) -> Iterator[None]:
    """One new token a row, the ``count``-th of each, which is known on the device alone, ``[1]``."""
    for layer in cache.layers:
        layer.device_length = count
    try:
        yield
    finally:
        for layer in cache.layers:
            layer.device_length = None


def cache_keyword(model: Any) -> str:
    """What the model's forward calls its cache: transformers 5.24 renamed it, and warns of the old name.

    Looks through the signature: once a batch, not once a step.
    """
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
