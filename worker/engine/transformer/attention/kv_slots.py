"""Keys and values of rows that have lengths of their own, each in a slot of about its size, all in one piece of memory.

Slots of one capacity lie side by side, so that attention reads many rows at once, and none pays for a longer one.
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
    """Rows ``[first, last)``, whose slots have ``capacity`` positions; ``start`` positions lie before them."""

    first: int
    last: int
    capacity: int
    start: int


class SlotMove(NamedTuple):
    """``n_rows`` rows and their first ``length`` positions, from a place in one layout to a place in the next.

    What has joined since comes from a memory of its own.
    """

    is_new: bool
    source: SlotRegion
    source_row: int
    target: SlotRegion
    target_row: int
    n_rows: int
    length: int


def capacity(length: int) -> int:
    """Room for so many tokens and some more, in whole chunks and blocks: two sizes from any length to its double."""
    positions = 2 * CHUNK
    while positions < length + CHUNK // 2:
        positions += positions // 2 if positions & (positions - 1) == 0 else positions // 3
    return positions


class SlotLayout:
    """Where rows lie: shared by all layers of a cache. With ``ahead`` all have room for so many tokens more."""

    def __init__(self, lengths: Sequence[int], start: int = 0, ahead: int = 0) -> None:
        #: Tokens of each row, those of the running forward pass included.
        self.lengths = list(lengths)
        #: Of each row, the place of its first token in the running forward pass.
        self.starts = [start] * len(self.lengths)
        #: Counts layouts; ``moves`` lead from the one before to this one.
        self.version = 0
        self.moves: list[SlotMove] = []
        self.regions: list[SlotRegion] = []
        #: Of each row, the positions that lie before its slot, and its slot's capacity.
        self.row_starts: list[int] = []
        self.row_capacities: list[int] = []
        self._counts: torch.Tensor | None = None
        self._ahead = ahead
        self._index: torch.Tensor | None = None
        self._rows: flash_backend.FlashRowLayout | None = None
        self._places: torch.Tensor | None = None
        #: Of each row, its number in the layout before; those that have joined, in regions of their own, are numbered
        #: behind it.
        self._came_from = list(range(len(self.lengths)))
        self._joined: list[SlotRegion] = []
        self._is_changed = False
        self._lay_out()

    @property
    def positions(self) -> int:
        return sum((region.last - region.first) * region.capacity for region in self.regions)

    def advance(self) -> None:
        """One more token for each row."""
        self.starts, self.lengths = self.lengths, [length + 1 for length in self.lengths]
        self._index = self._places = None
        if self._is_changed or any(max(self.lengths[it.first : it.last]) > it.capacity for it in self.regions):
            self._lay_out()

    def keep(self, rows: Sequence[int]) -> None:
        """From the next step on there are these alone."""
        self.lengths = [self.lengths[row] for row in rows]
        self._came_from = [self._came_from[row] for row in rows]
        self._is_changed = True

    def join(self, other: "SlotLayout") -> list[int]:
        """From the next step on another's rows are here too, sorted in by length; returns the order of all."""
        behind = self.regions[-1].last
        self._joined = [it._replace(first=behind + it.first, last=behind + it.last) for it in other.regions]
        self._came_from += [behind + row for row in other._came_from]
        self.lengths += other.lengths
        order = sorted(range(len(self.lengths)), key=self.lengths.__getitem__)
        self.keep(order)
        return order

    @contextmanager
    def told(self, counts: torch.Tensor) -> Iterator[None]:
        """One new token a row, with which it has so many, told on the device: so is where it lies."""
        self._counts, self._index = counts, None
        try:
            yield
        finally:
            self._counts, self._index = None, None

    def on(self, device: torch.device) -> flash_backend.FlashRowLayout:
        """Where rows lie, for the kernel of a GPU."""
        if self._rows is None:
            self._rows = flash_backend.FlashRowLayout(self.row_starts, self.row_capacities, device)
        return self._rows

    def _capacity(self, length: int) -> int:
        return chunk_count(length) * CHUNK + self._ahead if self._ahead else capacity(length)

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
            # Rows that lay side by side are moved together.
            for _, run in groupby(rows, lambda row: (sources[row], self._came_from[row] - row)):
                together = list(run)
                first, source = together[0], sources[together[0]]
                length = max(self.starts[row] for row in together)
                is_new = source.first >= behind
                yield SlotMove(is_new, source, self._came_from[first], target, first, len(together), length)

    def view(self, store: torch.Tensor, region: SlotRegion) -> torch.Tensor:
        """``[rows, heads, capacity, size]`` of a layer's keys or values."""
        return _rows(store, store.shape[0] // self.positions, region, region.first, region.last - region.first)

    def places(self, heads: int) -> torch.Tensor:
        """``[2, tokens]``: of each new token of the rows, the place of its first head's vector among all vectors of a
        layer, and how many lie from one head's to the next's.
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
        """For each head, then each new token of the rows: its place among all vectors of a layer."""
        if self._index is None and self._counts is not None:
            self._index = self.on(device).lasts(heads, self._counts)
        if self._index is None:
            places, capacities = self.places(heads)
            self._index = (torch.arange(heads)[:, None] * capacities + places).flatten().to(device)
        return self._index


def _region_of(regions: Sequence[SlotRegion], row: int) -> SlotRegion:
    return next(region for region in regions if row < region.last)


class PrefixKV(NamedTuple):
    """One layer's keys and values of a prefix, ``[1, heads, tokens, size]``."""

    keys: torch.Tensor
    values: torch.Tensor


class SlotLayer(CacheLayerMixin):
    """One layer's slots, ``[vectors, size]``: of every row, of every head, of every position."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, slots: SlotLayout, prefix: PrefixKV | None = None, halves: bool = False) -> None:
        super().__init__()
        self.slots, self.halves, self._version = slots, halves, 0
        self._joined: SlotLayer | None = None
        if prefix is not None:
            self.lazy_initialization(prefix.keys, prefix.values)
            for store, known in ((self.keys, prefix.keys), (self.values, prefix.values)):
                for region in slots.regions:
                    slots.view(store, region)[:, :, : known.shape[2]] = known

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        dtype = kv_dtype(key_states, value_states, self.halves)
        self.keys, self.values = self._memory(key_states, dtype), self._memory(value_states, dtype)
        self._version = self.slots.version
        self.is_initialized = True

    def _memory(self, like: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        is_native = serves(like) or (self.halves and dtype == torch.float16)
        return allocate_kv(like, (self.slots.positions * like.shape[1], like.shape[-1]), dtype, is_native)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Writes ``[1, heads, tokens, size]`` where ``slots`` says; returns all vectors, of which it gives views."""
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
        """What another one holds moves in here with the next step, as ``slots`` says."""
        self._joined = other

    def stored(self, length: int) -> PrefixKV:
        """A copy of the first row's beginning."""
        views = (self.slots.view(store, self.slots.regions[0]) for store in (self.keys, self.values))
        return PrefixKV(*(view[:1, :, :length].clone() for view in views))

    @property
    def token_bytes(self) -> int:
        """What one position takes."""
        return (self.keys.nbytes + self.values.nbytes) // self.slots.positions

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return query_length, 0


def _rows(store: torch.Tensor, heads: int, region: SlotRegion, row: int, count: int) -> torch.Tensor:
    start = (region.start + (row - region.first) * region.capacity) * heads
    part = store[start : start + count * region.capacity * heads]
    return part.view(count, heads, region.capacity, -1)


def slot_cache(layers: int, slots: SlotLayout, prefix: Sequence[PrefixKV | None] = (), halves: bool = False) -> Any:
    """For a decoder-only model; ``prefix`` is what every row begins with, layer by layer; ``halves`` keeps all in fp16
    where our kernels read it.
    """
    beginnings = prefix or [None] * layers
    return Cache(layers=[SlotLayer(slots, stored, halves) for stored in beginnings])
