"""The KV cache of decoder-only models, whose rows have different lengths: each row has a slot of about its own size.

All slots of a layer are in one piece of memory. Slots of equal capacity are adjacent, so that attention reads many rows
at once and no row pays for a longer one. Rows may leave a batch and others may join it (continuous batching).
"""

# mypy: allow-untyped-calls
# transformers ships few annotations.

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any, NamedTuple

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from worker.engine.transformer.attention import flash_backend
from worker.engine.transformer.attention.kv_past import CHUNK, allocate_kv, chunk_count, equal_runs
from worker.engine.transformer.native.library import serves
from worker.engine.transformer.native.tokens import can_store_kv, kv_dtype, store_kv


class SlotRegion(NamedTuple):
    """Adjacent rows ``[first, last)``, whose slots have ``capacity`` positions, after ``start`` positions of memory."""

    first: int
    last: int
    capacity: int
    start: int


class SlotMove(NamedTuple):
    """A copy of ``n_rows`` adjacent rows, their first ``length`` positions, from the previous layout to the next.

    ``is_new``: the rows have joined since, and their source is the memory of the batch they came with.
    """

    is_new: bool
    source: SlotRegion
    source_row: int
    target: SlotRegion
    target_row: int
    n_rows: int
    length: int


def slot_capacity(length: int) -> int:
    """The positions of a slot for ``length`` tokens and some more, in whole chunks and blocks.

    Between any length and twice that length there are two such sizes.
    """
    positions = 2 * CHUNK
    while positions < length + CHUNK // 2:
        positions += positions // 2 if positions & (positions - 1) == 0 else positions // 3
    return positions


class SlotLayout:
    """Where rows are in memory, for all layers of a cache.

    ``lengths`` are the rows' tokens including those of the running forward pass, of which the first ``start`` of each
    row are cached already. ``ahead`` gives each slot memory for that many further tokens, for CUDA graphs.
    """

    def __init__(self, lengths: Sequence[int], start: int = 0, ahead: int = 0) -> None:
        #: For each row, its tokens, including those of the running forward pass.
        self.lengths = list(lengths)
        #: For each row, the position of its first token in the running forward pass.
        self.starts = [start] * len(self.lengths)
        #: Counts layouts. ``moves`` are the copies from the previous layout to this one.
        self.version = 0
        self.moves: list[SlotMove] = []
        self.regions: list[SlotRegion] = []
        #: For each row, the positions of memory before its slot, and its slot's capacity.
        self.row_starts: list[int] = []
        self.row_capacities: list[int] = []
        self._counts: torch.Tensor | None = None
        self._ahead = ahead
        self._index: torch.Tensor | None = None
        self._rows: flash_backend.FlashRowLayout | None = None
        self._places: torch.Tensor | None = None
        #: For each row, its number in the previous layout. Rows that have joined, in regions of their own, have the
        #: numbers after that layout's.
        self._came_from = list(range(len(self.lengths)))
        self._joined: list[SlotRegion] = []
        self._is_changed = False
        self._lay_out()

    @property
    def positions(self) -> int:
        return sum((region.last - region.first) * region.capacity for region in self.regions)

    def advance(self) -> None:
        """Adds one token to each row. Makes a new layout if rows have left, have joined or need larger slots."""
        self.starts, self.lengths = self.lengths, [length + 1 for length in self.lengths]
        self._index = self._places = None
        if self._is_changed or any(max(self.lengths[it.first : it.last]) > it.capacity for it in self.regions):
            self._lay_out()

    def keep(self, rows: Sequence[int]) -> None:
        """Keeps only these rows, in this order, from the next step on."""
        self.lengths = [self.lengths[row] for row in rows]
        self._came_from = [self._came_from[row] for row in rows]
        self._is_changed = True

    def join(self, other: "SlotLayout") -> list[int]:
        """Adds another layout's rows from the next step on, sorted by length.

        Returns the new order: for each row its number among the present rows followed by the joining ones.
        """
        behind = self.regions[-1].last
        self._joined = [it._replace(first=behind + it.first, last=behind + it.last) for it in other.regions]
        self._came_from += [behind + row for row in other._came_from]
        self.lengths += other.lengths
        order = sorted(range(len(self.lengths)), key=self.lengths.__getitem__)
        self.keep(order)
        return order

    @contextmanager
    def lengths_on_device(self, counts: torch.Tensor) -> Iterator[None]:
        """While this is open, rows have ``counts`` tokens, ``[rows]``, with one new token each.

        The counts stay on the device, and positions in memory are computed from them there.
        """
        self._counts, self._index = counts, None
        try:
            yield
        finally:
            self._counts, self._index = None, None

    def flash_rows(self, device: torch.device) -> flash_backend.FlashRowLayout:
        """The layout for the flash kernel."""
        if self._rows is None:
            self._rows = flash_backend.FlashRowLayout(self.row_starts, self.row_capacities, device)
        return self._rows

    def _capacity(self, length: int) -> int:
        return chunk_count(length) * CHUNK + self._ahead if self._ahead else slot_capacity(length)

    def _lay_out(self) -> None:
        before, self.regions, start = self.regions, [], 0
        for first, last, size in equal_runs([self._capacity(length) for length in self.lengths]):
            self.regions.append(SlotRegion(first, last, size, start))
            start += (last - first) * size
        rows = [(region, row - region.first) for region in self.regions for row in range(region.first, region.last)]
        self.row_starts = [region.start + row * region.capacity for region, row in rows]
        self.row_capacities = [region.capacity for region, _ in rows]
        self.moves = list(self._moves(before)) if before else []
        self._came_from, self._joined, self._is_changed = list(range(len(self.lengths))), [], False
        self._index = self._rows = self._places = None
        self.version += 1

    def _moves(self, before: Sequence[SlotRegion]) -> Iterator[SlotMove]:
        behind = before[-1].last
        sources = [_region_of([*before, *self._joined], row) for row in self._came_from]
        for target in self.regions:
            rows = range(target.first, target.last)
            # Rows that were adjacent are copied together.
            for _, run in groupby(rows, lambda row: (sources[row], self._came_from[row] - row)):
                together = list(run)
                first, source = together[0], sources[together[0]]
                length = max(self.starts[row] for row in together)
                is_new = source.first >= behind
                yield SlotMove(is_new, source, self._came_from[first], target, first, len(together), length)

    def view(self, kept: torch.Tensor, region: SlotRegion) -> torch.Tensor:
        """A view ``[rows, heads, capacity, size]`` of a region, in a layer's keys or values."""
        return _rows(kept, kept.shape[0] // self.positions, region, region.first, region.last - region.first)

    def places(self, heads: int) -> torch.Tensor:
        """``[2, tokens]``, as ``store_kv`` takes it: for each new token, the index of its first head's vector in a
        layer, and the number of vectors from one head to the next.
        """
        if self._places is None:
            places: list[int] = []
            capacities: list[int] = []
            for row, (start, size) in enumerate(zip(self.row_starts, self.row_capacities, strict=True)):
                new = range(start * heads + self.starts[row], start * heads + self.lengths[row])
                places += new
                capacities += [size] * len(new)
            self._places = torch.tensor([places, capacities])
        return self._places

    def index(self, heads: int, device: torch.device) -> torch.Tensor:
        """The index of each new token's vector in a layer: for each head, then for each token."""
        if self._index is None and self._counts is not None:
            self._index = self.flash_rows(device).last_indices(heads, self._counts)
        if self._index is None:
            places, capacities = self.places(heads)
            self._index = (torch.arange(heads)[:, None] * capacities + places).flatten().to(device)
        return self._index


def _region_of(regions: Sequence[SlotRegion], row: int) -> SlotRegion:
    return next(region for region in regions if row < region.last)


class PrefixKV(NamedTuple):
    """One layer's keys and values of a cached prefix, ``[1, heads, tokens, size]``."""

    keys: torch.Tensor
    values: torch.Tensor


class SlotLayer(CacheLayerMixin):
    """One layer's keys and values, ``[vectors, size]``: a vector for each row, head and position, in this order."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, slots: SlotLayout, prefix: PrefixKV | None = None, fp16: bool = False) -> None:
        super().__init__()
        self.slots, self.fp16, self._version = slots, fp16, 0
        self._joined: SlotLayer | None = None
        if prefix is not None:
            self.lazy_initialization(prefix.keys, prefix.values)
            for kept, known in ((self.keys, prefix.keys), (self.values, prefix.values)):
                for region in slots.regions:
                    slots.view(kept, region)[:, :, : known.shape[2]] = known

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        dtype = kv_dtype(key_states, value_states, self.fp16)
        self.keys, self.values = self._memory(key_states, dtype), self._memory(value_states, dtype)
        self._version = self.slots.version
        self.is_initialized = True

    def _memory(self, like: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        is_native = serves(like) or (self.fp16 and dtype == torch.float16)
        return allocate_kv(like, (self.slots.positions * like.shape[1], like.shape[-1]), dtype, is_native)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Writes the new tokens of all rows, ``[1, heads, tokens, size]``, into their slots; returns all vectors.

        Copies the rows first if the layout has changed since the last call.
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        elif self._version != self.slots.version:
            self._move(key_states, value_states)
        if can_store_kv(key_states, value_states):
            keys, values = (states[0].transpose(0, 1) for states in (key_states, value_states))
            store_kv(keys, values, self.keys, self.values, self.slots.places(key_states.shape[1]))
            return self.keys, self.values
        index = self.slots.index(key_states.shape[1], key_states.device)
        self.keys.index_copy_(0, index, key_states.reshape(-1, key_states.shape[-1]))
        self.values.index_copy_(0, index, value_states.reshape(-1, value_states.shape[-1]))
        return self.keys, self.values

    def _move(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        before, joined, self._joined = (self.keys, self.values), self._joined, None
        new = before if joined is None else (joined.keys, joined.values)
        self.lazy_initialization(key_states, value_states)
        heads = key_states.shape[1]
        for old, fresh, kept in zip(before, new, (self.keys, self.values), strict=True):
            for is_new, source, source_row, target, target_row, count, length in self.slots.moves:
                taken = _rows(fresh if is_new else old, heads, source, source_row, count)[:, :, :length]
                _rows(kept, heads, target, target_row, count)[:, :, :length] = taken

    def join(self, other: "SlotLayer") -> None:
        """Takes over another layer's rows at the next step, as the layouts were joined."""
        self._joined = other

    def stored(self, length: int) -> PrefixKV:
        """A copy of the first ``length`` tokens of the first row."""
        views = (self.slots.view(kept, self.slots.regions[0]) for kept in (self.keys, self.values))
        return PrefixKV(*(view[:1, :, :length].clone() for view in views))

    @property
    def token_bytes(self) -> int:
        """Bytes per token of one row."""
        return (self.keys.nbytes + self.values.nbytes) // self.slots.positions

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return query_length, 0


def _rows(kept: torch.Tensor, heads: int, region: SlotRegion, row: int, count: int) -> torch.Tensor:
    """A view ``[count, heads, capacity, size]`` of a region's rows from ``row`` on."""
    start = (region.start + (row - region.first) * region.capacity) * heads
    part = kept[start : start + count * region.capacity * heads]
    return part.view(count, heads, region.capacity, -1)


def slot_cache(layers: int, slots: SlotLayout, prefix: Sequence[PrefixKV | None] = (), fp16: bool = False) -> Any:
    """A cache for a decoder-only model, empty but for ``prefix``: what every row begins with, layer by layer.

    ``fp16`` stores it in fp16 if our kernels can read it.
    """
    beginnings = prefix or [None] * layers
    return Cache(layers=[SlotLayer(slots, stored, fp16) for stored in beginnings])
