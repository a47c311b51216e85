"""The self-attention KV cache of encoder–decoders, whose rows all have the same number of written tokens.

Its memory grows by doubling, instead of by a copy at each step. The sizes that other caches share are here too.
"""

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

#: Attention runs on lengths rounded up to blocks of at least this many tokens. torch picks a kernel by the shape of a
#: product, and another kernel adds in another order. So shapes must depend on a row's own length alone.
BLOCK = 32
#: Prefill computes this many tokens of a prompt at a time, wherever the prompt is in the batch and however many of its
#: tokens are cached already.
CHUNK = 64


def rounded_to_blocks(length: int) -> int:
    """``length`` rounded up to whole blocks.

    Between any length and four times that length there are at most eight such sizes. Few sizes mean few calls, and the
    padding is 10% on average.
    """
    block = max(BLOCK, 1 << max(0, (length - 1).bit_length() - 3))
    return -(-length // block) * block


def chunk_count(length: int) -> int:
    """The number of chunks that ``length`` tokens need."""
    return -(-length // CHUNK)


class RowGroup(NamedTuple):
    """Consecutive rows ``[first, last)`` of equal size."""

    first: int
    last: int
    size: int


def equal_runs(sizes: Sequence[int]) -> list[RowGroup]:
    """Groups consecutive rows of equal size; sorted rows give one group for each size."""
    groups: list[RowGroup] = []
    for size, run in groupby(sizes):
        first = groups[-1].last if groups else 0
        groups.append(RowGroup(first, first + sum(1 for _ in run), size))
    return groups


def allocate_kv(like: torch.Tensor, shape: Sequence[int], dtype: torch.dtype, is_native: bool) -> torch.Tensor:
    """New memory for keys or values, on the device of ``like``.

    Zeros for torch's kernels, which multiply masked positions too, so these must be finite. Our own kernels never read
    them, and get the memory as it is.
    """
    return (like.new_empty if is_native else like.new_zeros)(shape, dtype=dtype)


class PastLayer(CacheLayerMixin):
    """One layer's keys and values, ``[places, heads, capacity, head size]``; all rows have ``length`` tokens."""

    keys: torch.Tensor
    values: torch.Tensor
    #: The place of each row. For our kernels rows may be in any order, with places of finished rows between them.
    rows: Sequence[int] = ()
    #: Whether our kernels read this layer.
    is_native = False
    length = 0
    #: The length including the next token, ``[1]``, while a CUDA graph keeps it on the device; else ``None``.
    device_length: torch.Tensor | None = None

    def __init__(self, fp16: bool = False) -> None:
        super().__init__()
        self.fp16 = fp16

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        dtype = kv_dtype(key_states, value_states, self.fp16)
        keys, values = (states[:, :, :0].to(dtype) for states in (key_states, value_states))
        self.hold(keys, values, 0, can_store_kv(key_states, value_states))

    def hold(self, keys: torch.Tensor, values: torch.Tensor, length: int, is_native: bool) -> None:
        """Takes over these keys and values, whose rows are in order and have ``length`` tokens each."""
        self.keys, self.values, self.rows = keys, values, range(len(keys))
        self.length, self.is_native, self.is_initialized = length, is_native, True

    def reserve(self, length: int) -> None:
        """Makes sure that each row has memory for ``length`` tokens; at least doubles it if not."""
        if length > self.keys.shape[2]:
            is_in_order = self.rows == range(len(self.keys))
            self.move(
                None if is_in_order else torch.tensor(self.rows), rounded_to_blocks(max(length, 2 * self.keys.shape[2]))
            )

    def move(self, places: torch.Tensor | None, capacity: int) -> None:
        """Copies the rows at ``places``, or all rows, in this order into memory for ``capacity`` tokens each."""
        keys, values = (self._moved(kept, places, capacity) for kept in (self.keys, self.values))
        self.hold(keys, values, self.length, self.is_native)

    def _moved(self, kept: torch.Tensor, places: torch.Tensor | None, capacity: int) -> torch.Tensor:
        taken = kept[:, :, : self.length]
        if places is not None:
            taken = taken.index_select(0, places)
        larger = allocate_kv(kept, (len(taken), kept.shape[1], capacity, kept.shape[-1]), kept.dtype, self.is_native)
        larger[:, :, : self.length] = taken
        return larger

    @property
    def token_bytes(self) -> int:
        """Bytes per token of one row."""
        return sum(kept[0, :, 0].nbytes for kept in (self.keys, self.values))

    def get_seq_length(self) -> Any:
        return self.length if self.device_length is None else (self.device_length[0] - 1).as_subclass(DeviceCount)

    def get_max_length(self) -> int:
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.length + query_length, 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Appends ``[rows, heads, new, head size]``; returns keys and values of all tokens, rounded up to whole blocks.

        While the length is on the device, it appends one token and returns the whole capacity.
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
    """Where position ``place`` of each row is, in the form of ``store_kv``. Cached: every layer asks the same."""
    starts = torch.tensor(rows) * (heads * capacity) + place
    return torch.stack([starts, torch.full((len(rows),), capacity)])


def past_cache(layers: int, fp16: bool = False) -> Any:
    """An empty self-attention cache. ``fp16`` stores it in fp16 if our kernels can read it."""
    return Cache(layers=[PastLayer(fp16) for _ in range(layers)])


def kv_fp16(model: Any) -> bool:
    """Whether the KV cache may be fp16. ``precision.apply`` allows it for int8 models, whose own error is larger."""
    return bool(getattr(model, "kv_fp16", False))


def concatenated_pasts(caches: Sequence[Any]) -> Any:
    """Joins caches of equal length into one: the rows of the first, then those of the next, and so on."""
    if len(caches) == 1:
        return caches[0]
    made = past_cache(len(caches[0].layers))
    for layer, *parts in zip(made.layers, *(cache.layers for cache in caches), strict=True):
        keys, values = (torch.cat([getattr(part, name) for part in parts]) for name in ("keys", "values"))
        layer.hold(keys, values, parts[0].length, parts[0].is_native)
    return made


def keep_past(cache: Any, rows: Sequence[int]) -> None:
    """Keeps these rows of the cache, in this order; a row may occur more than once.

    Our kernels find rows wherever they are, so their rows stay in place until half of the memory is unused.
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
    """While this is open, each row appends its ``count``-th token; ``count`` ``[1]`` stays on the device."""
    for layer in cache.layers:
        layer.device_length = count
    try:
        yield
    finally:
        for layer in cache.layers:
            layer.device_length = None


def cache_keyword(model: Any) -> str:
    """The keyword of the model's ``forward`` for its cache: transformers 5.24 renamed it, and warns of the old name.

    Inspects the signature, so call this once per batch, not at each step.
    """
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"
