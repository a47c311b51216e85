"""The plans of attention: how long the rows of a forward pass are, and where they are in its tensors and caches.

A decoder's plan runs on our own kernels where those serve, else on the flash kernel, else on torch's products; an
encoder's has no kernels of ours. On torch's products, rows of equal size are computed together, and no row is padded to
another row's length. So the shapes of the products, and with them all bits of a row's answer, depend on that row alone.
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


class _MarkedPlan:
    """Gives each plan a marker of its own, by which attention recognizes it."""

    def __init__(self) -> None:
        self.marker = torch.empty(1, 1, 1, 1)


class PaddedPlan(_MarkedPlan):
    """An encoder's pass over a padded batch: each token sees its whole row. Rows are sorted by length."""

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


class CrossPlan(_MarkedPlan):
    """Cross-attention of a decode step: one new token in each of the rows ``[first, last)`` sees its row's source."""

    def __init__(self, layout: CrossLayout, first: int, last: int, like: torch.Tensor) -> None:
        super().__init__()
        self.layout, self.first, self.last, self.like = layout, first, last, like

    def run(self, call: AttentionCall) -> torch.Tensor:
        if self.layout.is_scattered or native_backend.serves(call):
            shared = call.key.shape[0] // self.layout.positions
            return native_backend.attend(self._rows, call, call.query[:, :, 0], shared)[:, None]
        if flash_backend.serves(call):
            shared = call.key.shape[0] // self.layout.positions
            rows, lengths = self._flash_rows
            return rows.attend(call, call.query[:, :, 0], shared, lengths)[:, None]
        parts = []
        for group, hidden in self._groups:
            query = call.query[group.first - self.first : group.last - self.first]
            key, value = (self.layout.view(kept, group) for kept in (call.key, call.value))
            parts.append(attend_one_query(query, key, value, call.scale, hidden))
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).transpose(1, 2)

    @cached_property
    def _rows(self) -> native_backend.NativeRowLayout:
        own, it = slice(self.first, self.last), self.layout
        return native_backend.NativeRowLayout(it.starts[own], it.capacities[own], it.lengths[own])

    @cached_property
    def _flash_rows(self) -> tuple[flash_backend.FlashRowLayout, torch.Tensor]:
        own, it, device = slice(self.first, self.last), self.layout, self.like.device
        rows = flash_backend.FlashRowLayout(it.starts[own], it.capacities[own], device)
        return rows, torch.tensor(it.lengths[own], device=device)

    @cached_property
    def _groups(self) -> list[tuple[RowGroup, torch.Tensor]]:
        """Rows of equal capacity, with the mask of their padding."""
        known = torch.tensor(self.layout.lengths, device=self.like.device)
        groups = self.layout.groups(self.first, self.last)
        return [(it, mask_beyond(known[it.first : it.last], it.size, self.like.dtype)) for it in groups]


class PastPlan(_MarkedPlan):
    """Self-attention of a decode step in an encoder–decoder: one new token in each row sees all of its row.

    All rows have ``length`` tokens. Keys and values are ``[places, heads, capacity, size]``, or the beginning of that;
    the first ``layer`` of the cache knows the rows' places once it has the new token.
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


class DevicePastPlan(_MarkedPlan):
    """``PastPlan`` for CUDA graphs: the length, ``count`` ``[1]``, stays on the device. Needs the flash kernel."""

    def __init__(self, rows: flash_backend.FlashRowLayout, n_rows: int, count: torch.Tensor) -> None:
        super().__init__()
        self.rows, self.lengths = rows, count.expand(n_rows)

    def run(self, call: AttentionCall) -> torch.Tensor:
        if not flash_backend.serves(call):
            raise NotCapturableError("without flash attention, shapes depend on the lengths")
        flat = call._replace(key=call.key.flatten(0, 2), value=call.value.flatten(0, 2))
        return self.rows.attend(flat, call.query[:, :, 0], call.key.shape[1], self.lengths)[:, None]


class _SlotPlan(_MarkedPlan):
    """Rows packed into one sequence; each row's keys and values are in its slot."""

    def __init__(self, slots: SlotLayout) -> None:
        super().__init__()
        self.slots = slots

    def _shared(self, call: AttentionCall) -> int:
        """The number of key-value heads."""
        return call.key.shape[0] // self.slots.positions

    @cached_property
    def _rows(self) -> native_backend.NativeRowLayout:
        return native_backend.NativeRowLayout(self.slots.row_starts, self.slots.row_capacities, self.slots.lengths)


class PrefillPlan(_SlotPlan):
    """Prefill: the new tokens of several rows, packed row after row; each token sees its own row up to itself.

    Every row has ``start`` tokens in its slot already. Rows are sorted by length. Without our kernels and flash, whole
    chunks of tokens are computed against all keys up to the chunk's end. So shapes depend on a token's position in its
    prompt, and not on how much of the prompt was cached before.
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
            rows = self.slots.flash_rows(call.query.device)
            longest = self.slots.lengths[-1] - self.start
            return rows.attend_prompts(call, packed, shared, self._lengths, self._firsts, longest)[None]
        return self._in_chunks(call, packed, shared)[None]

    @cached_property
    def _lengths(self) -> torch.Tensor:
        return torch.tensor(self.slots.lengths, device=self.device)

    @cached_property
    def _firsts(self) -> torch.Tensor:
        """For each row, the index of its first packed token."""
        new = self._lengths - self.start
        return new.cumsum(0) - new

    @cached_property
    def _ends(self) -> range:
        """The positions where chunks end, counted from the beginning of a row."""
        last = self.start + chunk_count(self.slots.lengths[-1] - self.start) * CHUNK
        return range(self.start + CHUNK, last + 1, CHUNK)

    @cached_property
    def _reaching(self) -> list[int]:
        """For each chunk, the first row that is long enough to have tokens in it."""
        return [bisect_right(self.slots.lengths, end - CHUNK) for end in self._ends]

    @cached_property
    def _places(self) -> torch.Tensor:
        """For each packed token, its index in the padded chunks of all rows."""
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
            keys, values = (self.slots.view(kept, region) for kept in (call.key, call.value))
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
        """The causal mask of a chunk that ends at ``end``, ``[repeats × chunk, end]``, for all rows.

        It repeats for each of the ``repeats`` query heads that share a key-value head.
        """
        mask_key = (end, window, repeats)
        if mask_key not in self._masks:
            places = torch.arange(end, device=self.device)
            own = places[-CHUNK:, None]
            seen = (places <= own) if window is None else (places <= own) & (places > own - window)
            self._masks[mask_key] = seen.repeat(repeats, 1)
        return self._masks[mask_key]


def _masked(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, call: AttentionCall
) -> torch.Tensor:
    """torch's fused attention; for a soft cap, which it does not support, the separate products."""
    if call.softcap is None:
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=call.scale)
    hidden = torch.zeros(mask.shape, dtype=query.dtype, device=query.device)
    hidden.masked_fill_(~mask, torch.finfo(query.dtype).min)
    return attend_one_query(query, key, value, call.scale, hidden, call.softcap)


class DecodePlan(_SlotPlan):
    """A decode step: one new token in each row, packed into one sequence; each sees its own slot.

    ``lengths`` ``[rows]`` include the new token. ``on_device``: a CUDA graph is captured, which needs the flash kernel.
    """

    def __init__(self, slots: SlotLayout, lengths: torch.Tensor, on_device: bool = False) -> None:
        super().__init__(slots)
        self.lengths, self.on_device = lengths, on_device
        self._hidden: dict[tuple[int, int, int | None], torch.Tensor] = {}

    def run(self, call: AttentionCall) -> torch.Tensor:
        query, shared = call.query[0].transpose(0, 1), self._shared(call)
        if native_backend.serves(call):
            return native_backend.attend(self._rows, call, query, shared)[None]
        if flash_backend.serves(call):
            return self.slots.flash_rows(query.device).attend(call, query, shared, self.lengths)[None]
        if self.on_device:
            raise NotCapturableError("without flash attention, shapes depend on the lengths")
        return self._in_groups(call, query, shared)

    def _in_groups(self, call: AttentionCall, query: torch.Tensor, shared: int) -> torch.Tensor:
        rows, heads, size = query.shape
        query = query.reshape(rows, shared, heads // shared, size)
        parts = []
        for region, groups in self._groups:
            keys, values = (self.slots.view(kept, region) for kept in (call.key, call.value))
            for a, b, end in groups:
                first, last = region.first + a, region.first + b
                hidden = self._mask(first, last, end, call)
                seen = keys[a:b, :, :end], values[a:b, :, :end]
                parts.append(attend_one_query(query[first:last], *seen, call.scale, hidden, call.softcap))
        return torch.cat(parts).view(1, rows, heads, -1)

    @cached_property
    def _groups(self) -> list[tuple[SlotRegion, list[RowGroup]]]:
        """For each region, its rows of equal size; groups count rows from the region's first."""
        lengths = self.slots.lengths
        return [
            (it, equal_runs([rounded_to_blocks(length) for length in lengths[it.first : it.last]]))
            for it in self.slots.regions
        ]

    def _mask(self, first: int, last: int, size: int, call: AttentionCall) -> torch.Tensor:
        mask_key = (first, last, call.window)
        if mask_key not in self._hidden:
            self._hidden[mask_key] = mask_beyond(self.lengths[first:last], size, call.query.dtype, call.window)
        return self._hidden[mask_key]
