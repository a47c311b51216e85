"""The plans that attention follows: which rows of a forward pass are how long, and how they lie in its tensors.

Rows of like size are computed together and padding never is, so that the shapes of the products, and with them every
bit of a row's answer, follow from that row alone.
"""

from bisect import bisect_right
from collections.abc import Sequence
from functools import cached_property

import torch
from torch.nn.functional import scaled_dot_product_attention

from worker.engine.transformer.attention import flash_backend, native_backend
from worker.engine.transformer.attention.graph import NotCapturableError
from worker.engine.transformer.attention.interface import AttentionCall, attend_one_query, mask_beyond
from worker.engine.transformer.attention.kv_cross import CrossLayout
from worker.engine.transformer.attention.kv_past import (
    CHUNK,
    PastLayer,
    RowGroup,
    chunk_count,
    equal_runs,
    rounded_to_blocks,
)
from worker.engine.transformer.attention.kv_slots import SlotLayout, SlotRegion


class _Plan:
    def __init__(self) -> None:
        self.marker = torch.empty(1, 1, 1, 1)


class PaddedPlan(_Plan):
    """Every token of a padded batch sees every token of its own row; rows are sorted by length."""

    def __init__(self, lengths: Sequence[int]) -> None:
        super().__init__()
        self.lengths, self.groups = lengths, equal_runs(lengths)
        self._counts: torch.Tensor | None = None

    def run(self, call: AttentionCall) -> torch.Tensor:
        if flash_backend.serves(call):
            if self._counts is None:
                self._counts = torch.tensor(self.lengths, device=call.query.device)
            return flash_backend.attend_padded(call, self._counts)
        rows, heads, tokens, _ = call.query.shape
        out = call.query.new_zeros(rows, tokens, heads, call.value.shape[-1])
        for first, last, size in self.groups:
            query, key, value = (part[first:last, :, :size] for part in call[:3])
            bias = None if call.bias is None else call.bias[..., :size, :size]
            seen = scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=call.scale)
            out[first:last, :size] = seen.transpose(1, 2)
        return out


class CrossPlan(_Plan):
    """Each new token of the rows ``[first, last)``, one a row, sees its row of the source."""

    def __init__(self, sources: CrossLayout, first: int, last: int, like: torch.Tensor) -> None:
        super().__init__()
        self.sources, self.first, self.last, self.like = sources, first, last, like

    def run(self, call: AttentionCall) -> torch.Tensor:
        if self.sources.is_scattered or native_backend.serves(call):
            shared = call.key.shape[0] // self.sources.positions
            return native_backend.attend(self._rows, call, call.query[:, :, 0], shared)[:, None]
        if flash_backend.serves(call):
            shared = call.key.shape[0] // self.sources.positions
            rows, lengths = self._flash_rows
            return rows.attend(call, call.query[:, :, 0], shared, lengths)[:, None]
        parts = []
        for group, hidden in self._groups:
            query = call.query[group.first - self.first : group.last - self.first]
            key, value = (self.sources.view(store, group) for store in (call.key, call.value))
            parts.append(attend_one_query(query, key, value, call.scale, hidden))
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).transpose(1, 2)

    @cached_property
    def _rows(self) -> native_backend.NativeRowLayout:
        own, it = slice(self.first, self.last), self.sources
        return native_backend.NativeRowLayout(it.starts[own], it.capacities[own], it.lengths[own])

    @cached_property
    def _flash_rows(self) -> tuple[flash_backend.FlashRowLayout, torch.Tensor]:
        own, it, device = slice(self.first, self.last), self.sources, self.like.device
        return flash_backend.FlashRowLayout(it.starts[own], it.capacities[own], device), torch.tensor(
            it.lengths[own], device=device
        )

    @cached_property
    def _groups(self) -> list[tuple[RowGroup, torch.Tensor]]:
        """Rows of one capacity, and what hides their padding."""
        known = torch.tensor(self.sources.lengths, device=self.like.device)
        groups = self.sources.groups(self.first, self.last)
        return [(it, mask_beyond(known[it.first : it.last], it.size, self.like.dtype)) for it in groups]


class PastPlan(_Plan):
    """Each row's one new token sees itself and what came before; all are equally far.

    Keys and values are ``[places, heads, capacity, size]``, or the beginning of that; where rows lie, the first
    ``layer`` tells, once it has the new token.
    """

    def __init__(self, layer: PastLayer, length: int, like: torch.Tensor) -> None:
        super().__init__()
        self.layer, self.length, self.like = layer, length, like
        self._rows: native_backend.NativeRowLayout | None = None

    def run(self, call: AttentionCall) -> torch.Tensor:
        if native_backend.serves(call) or self.layer.is_native:
            return native_backend.attend(self._memory(call), call, call.query[:, :, 0], call.key.shape[1])[:, None]
        if flash_backend.serves(call):
            key, value = (part[:, :, : self.length] for part in (call.key, call.value))
            seen = scaled_dot_product_attention(call.query, key, value, scale=call.scale, enable_gqa=True)
            return seen.transpose(1, 2)
        hidden = self._hidden if call.bias is None else self._hidden + call.bias
        return attend_one_query(call.query, call.key, call.value, call.scale, hidden).transpose(1, 2)

    def _memory(self, call: AttentionCall) -> native_backend.NativeRowLayout:
        if self._rows is None:
            capacity = call.key.stride(1) // call.key.stride(2)
            starts = [place * capacity for place in self.layer.rows]
            count = len(starts)
            self._rows = native_backend.NativeRowLayout(starts, [capacity] * count, [self.length] * count)
        return self._rows

    @cached_property
    def _hidden(self) -> torch.Tensor:
        known = torch.tensor([self.length], device=self.like.device)
        return mask_beyond(known, rounded_to_blocks(self.length), self.like.dtype)


class DevicePastPlan(_Plan):
    """The same for the kernel of a GPU, where ``count`` is known on the device alone, ``[1]``."""

    def __init__(self, rows: flash_backend.FlashRowLayout, n_rows: int, count: torch.Tensor) -> None:
        super().__init__()
        self.rows, self.lengths = rows, count.expand(n_rows)

    def run(self, call: AttentionCall) -> torch.Tensor:
        if not flash_backend.serves(call):
            raise NotCapturableError("without flash attention, shapes follow from lengths")
        flat = call._replace(key=call.key.flatten(0, 2), value=call.value.flatten(0, 2))
        return self.rows.attend(flat, call.query[:, :, 0], call.key.shape[1], self.lengths)[:, None]


class _OverSlots(_Plan):
    """Rows packed into one; keys and values of each lie in its slot."""

    def __init__(self, slots: SlotLayout) -> None:
        super().__init__()
        self.slots = slots

    def _shared(self, call: AttentionCall) -> int:
        """Heads of keys and values."""
        return call.key.shape[0] // self.slots.positions

    @cached_property
    def _rows(self) -> native_backend.NativeRowLayout:
        return native_backend.NativeRowLayout(self.slots.row_starts, self.slots.row_capacities, self.slots.lengths)


class PrefillPlan(_OverSlots):
    """New tokens of several rows, packed one behind the other into one row, after ``start`` tokens that every row has
    in its slot already; each token sees its own row up to itself. Rows are sorted by length.

    Whole chunks of tokens are computed against all keys up to their end, so that the shapes follow from where in its
    prompt a token stands, whether or not what is before it was computed just now.
    """

    def __init__(self, slots: SlotLayout, start: int, like: torch.Tensor) -> None:
        super().__init__(slots)
        self.start, self.device = start, like.device
        self.rows = len(slots.lengths)
        self._masks: dict[tuple[int, int | None, int], torch.Tensor] = {}

    def run(self, call: AttentionCall) -> torch.Tensor:
        packed, shared = call.query[0].transpose(0, 1), self._shared(call)
        if native_backend.serves(call):
            return native_backend.attend_prompts(self._rows, call, packed, shared, self.start)[None]
        if flash_backend.serves(call):
            rows = self.slots.on(call.query.device)
            longest = self.slots.lengths[-1] - self.start
            return rows.attend_prompts(call, packed, shared, self._lengths, self._firsts, longest)[None]
        return self._in_chunks(call, packed, shared)[None]

    @cached_property
    def _lengths(self) -> torch.Tensor:
        return torch.tensor(self.slots.lengths, device=self.device)

    @cached_property
    def _firsts(self) -> torch.Tensor:
        """Of each row, the first of its packed tokens."""
        new = self._lengths - self.start
        return new.cumsum(0) - new

    @cached_property
    def _ends(self) -> range:
        """Where the chunks end, counted from the beginning of a row."""
        last = self.start + chunk_count(self.slots.lengths[-1] - self.start) * CHUNK
        return range(self.start + CHUNK, last + 1, CHUNK)

    @cached_property
    def _reaching(self) -> list[int]:
        """For each chunk, the first row that reaches into it."""
        return [bisect_right(self.slots.lengths, end - CHUNK) for end in self._ends]

    @cached_property
    def _places(self) -> torch.Tensor:
        """Where each packed token is among the chunks."""
        width = len(self._ends) * CHUNK
        lengths = enumerate(self.slots.lengths)
        places = [row * width + place for row, length in lengths for place in range(length - self.start)]
        return torch.tensor(places, device=self.device)

    def _in_chunks(self, call: AttentionCall, packed: torch.Tensor, shared: int) -> torch.Tensor:
        heads, size = call.query.shape[1], call.value.shape[-1]
        repeats, n_chunks = heads // shared, len(self._ends)
        apart = packed.new_zeros(self.rows * n_chunks * CHUNK, heads, packed.shape[-1])
        apart.index_copy_(0, self._places, packed)
        queries = apart.view(self.rows, n_chunks, CHUNK, shared, repeats, -1).permute(1, 0, 3, 4, 2, 5)
        seen = apart.new_empty(self.rows, n_chunks, CHUNK, shared, repeats, size)
        for region in self.slots.regions:
            keys, values = (self.slots.view(store, region) for store in (call.key, call.value))
            for number, (reaching, end) in enumerate(zip(self._reaching, self._ends, strict=True)):
                first = max(region.first, reaching)
                if first >= region.last:
                    break
                found = _masked(
                    queries[number, first : region.last].flatten(2, 3),
                    keys[first - region.first :, :, :end],
                    values[first - region.first :, :, :end],
                    self._mask(end, call.window, repeats),
                    call,
                )
                parts = found.view(region.last - first, shared, repeats, CHUNK, size)
                seen[first : region.last, number] = parts.permute(0, 3, 1, 2, 4)
        return seen.view(-1, heads, size)[self._places]

    def _mask(self, end: int, window: int | None, repeats: int) -> torch.Tensor:
        """``[repeats × chunk, end]``, shared by all rows; heads that share their keys lie one behind the other."""
        asked = (end, window, repeats)
        if asked not in self._masks:
            places = torch.arange(end, device=self.device)
            own = places[-CHUNK:, None]
            seen = (places <= own) if window is None else (places <= own) & (places > own - window)
            self._masks[asked] = seen.repeat(repeats, 1)
        return self._masks[asked]


def _masked(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, call: AttentionCall
) -> torch.Tensor:
    """torch's fused attention, which knows no soft cap, or the products one by one."""
    if call.softcap is None:
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=call.scale)
    hidden = torch.zeros(mask.shape, dtype=query.dtype, device=query.device)
    hidden.masked_fill_(~mask, torch.finfo(query.dtype).min)
    return attend_one_query(query, key, value, call.scale, hidden, call.softcap)


class DecodePlan(_OverSlots):
    """One new token a row, packed into one row; each sees its own slot."""

    def __init__(self, slots: SlotLayout, lengths: torch.Tensor, on_device: bool = False) -> None:
        super().__init__(slots)
        #: With ``on_device`` they are known on the device alone.
        self.lengths, self.on_device = lengths, on_device
        self._hidden: dict[tuple[int, int, int | None], torch.Tensor] = {}

    def run(self, call: AttentionCall) -> torch.Tensor:
        query, shared = call.query[0].transpose(0, 1), self._shared(call)
        if native_backend.serves(call):
            return native_backend.attend(self._rows, call, query, shared)[None]
        if flash_backend.serves(call):
            return self.slots.on(query.device).attend(call, query, shared, self.lengths)[None]
        if self.on_device:
            raise NotCapturableError("without flash attention, shapes follow from lengths")
        return self._in_groups(call, query, shared)

    def _in_groups(self, call: AttentionCall, query: torch.Tensor, shared: int) -> torch.Tensor:
        rows, heads, size = query.shape
        query = query.reshape(rows, shared, heads // shared, size)
        parts = []
        for region, groups in self._groups:
            keys, values = (self.slots.view(store, region) for store in (call.key, call.value))
            for a, b, end in groups:
                first, last = region.first + a, region.first + b
                hidden = self._mask(first, last, end, call)
                seen = keys[a:b, :, :end], values[a:b, :, :end]
                parts.append(attend_one_query(query[first:last], *seen, call.scale, hidden, call.softcap))
        return torch.cat(parts).view(1, rows, heads, -1)

    @cached_property
    def _groups(self) -> list[tuple[SlotRegion, list[RowGroup]]]:
        """Rows of like size of each region, by their number in the region."""
        lengths = self.slots.lengths
        return [
            (it, equal_runs([rounded_to_blocks(length) for length in lengths[it.first : it.last]]))
            for it in self.slots.regions
        ]

    def _mask(self, first: int, last: int, size: int, call: AttentionCall) -> torch.Tensor:
        asked = (first, last, call.window)
        if asked not in self._hidden:
            self._hidden[asked] = mask_beyond(self.lengths[first:last], size, call.query.dtype, call.window)
        return self._hidden[asked]
