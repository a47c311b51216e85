"""The plans that attention follows: which rows of a forward pass are how long, and how they lie in its tensors.

Rows of like size are computed together and padding never is, so that the shapes of the products, and with them every
bit of a row's answer, follow from that row alone.
"""

from bisect import bisect_right
from collections.abc import Sequence

import torch
from torch.nn.functional import scaled_dot_product_attention

from worker.engine.attention import Call, hidden_beyond, one_query
from worker.engine.cache import CHUNK, blocks, chunks, grouped
from worker.engine.slots import Slots


class _Plan:
    def __init__(self) -> None:
        self.marker = torch.empty(1, 1, 1, 1)


class Padded(_Plan):
    """Every token of a padded batch sees every token of its own row; rows are sorted by length."""

    def __init__(self, lengths: Sequence[int]) -> None:
        super().__init__()
        self.groups = grouped(lengths)

    def run(self, call: Call) -> torch.Tensor:
        rows, heads, tokens, _ = call.query.shape
        out = call.query.new_zeros(rows, tokens, heads, call.value.shape[-1])
        for first, last, size in self.groups:
            query, key, value = (part[first:last, :, :size] for part in call[:3])
            bias = None if call.bias is None else call.bias[..., :size, :size]
            seen = scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=call.scale)
            out[first:last, :size] = seen.transpose(1, 2)
        return out


class Source(_Plan):
    """Each row's one new token sees its row of the source; keys come padded to whole blocks, rows sorted by length."""

    def __init__(self, lengths: Sequence[int], like: torch.Tensor) -> None:
        super().__init__()
        self.groups = grouped([blocks(length) for length in lengths])
        known = torch.tensor(lengths, device=like.device)
        self.hidden = [hidden_beyond(known[group.first : group.last], group.size, like.dtype) for group in self.groups]

    def run(self, call: Call) -> torch.Tensor:
        parts = [
            one_query(call.query[a:b], call.key[a:b, :, :size], call.value[a:b, :, :size], call.scale, hidden)
            for (a, b, size), hidden in zip(self.groups, self.hidden, strict=True)
        ]
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).transpose(1, 2)


class Past(_Plan):
    """Each row's one new token sees itself and what came before; all rows are equally far."""

    def __init__(self, length: int, like: torch.Tensor) -> None:
        super().__init__()
        self.hidden = hidden_beyond(torch.tensor([length], device=like.device), blocks(length), like.dtype)

    def run(self, call: Call) -> torch.Tensor:
        hidden = self.hidden if call.bias is None else self.hidden + call.bias
        return one_query(call.query, call.key, call.value, call.scale, hidden).transpose(1, 2)


class Prompts(_Plan):
    """New tokens of several rows, packed one behind the other into one row, after ``start`` tokens that every row has
    in its slot already; each token sees its own row up to itself. Rows are sorted by length.

    Whole chunks of tokens are computed against all keys up to their end, so that the shapes follow from where in its
    prompt a token stands, whether or not what is before it was computed just now.
    """

    def __init__(self, slots: Slots, start: int, like: torch.Tensor) -> None:
        super().__init__()
        lengths = slots.lengths
        self.slots, self.rows = slots, len(lengths)
        last = start + chunks(lengths[-1] - start) * CHUNK
        self.ends = range(start + CHUNK, last + 1, CHUNK)
        #: For each chunk, the first row that reaches into it.
        self.firsts = [bisect_right(lengths, end - CHUNK) for end in self.ends]
        width = len(self.ends) * CHUNK
        places = [row * width + place for row, length in enumerate(lengths) for place in range(length - start)]
        #: Where each packed token is among the chunks.
        self.places = torch.tensor(places, device=like.device)
        self._masks: dict[tuple[int, int | None, int], torch.Tensor] = {}

    def run(self, call: Call) -> torch.Tensor:
        heads, size, shared = call.query.shape[1], call.value.shape[-1], call.key.shape[0] // self.slots.positions
        repeats = heads // shared
        packed = call.query[0].transpose(0, 1)
        apart = packed.new_zeros(self.rows * len(self.ends) * CHUNK, heads, packed.shape[-1])
        apart.index_copy_(0, self.places, packed)
        queries = apart.view(self.rows, len(self.ends), CHUNK, shared, repeats, -1).permute(1, 0, 3, 4, 2, 5)
        seen = apart.new_empty(self.rows, len(self.ends), CHUNK, shared, repeats, size)
        for region in self.slots.regions:
            keys, values = (self.slots.view(store, region) for store in (call.key, call.value))
            for number, (reaching, end) in enumerate(zip(self.firsts, self.ends, strict=True)):
                first = max(region.first, reaching)
                if first >= region.last:
                    break
                found = scaled_dot_product_attention(
                    queries[number, first : region.last].flatten(2, 3),
                    keys[first - region.first :, :, :end],
                    values[first - region.first :, :, :end],
                    attn_mask=self._mask(end, call.window, repeats),
                    scale=call.scale,
                )
                parts = found.view(region.last - first, shared, repeats, CHUNK, size)
                seen[first : region.last, number] = parts.permute(0, 3, 1, 2, 4)
        return seen.view(-1, heads, size)[self.places][None]

    def _mask(self, end: int, window: int | None, repeats: int) -> torch.Tensor:
        """``[repeats × chunk, end]``, shared by all rows; heads that share their keys lie one behind the other."""
        asked = (end, window, repeats)
        if asked not in self._masks:
            places = torch.arange(end, device=self.places.device)
            own = places[-CHUNK:, None]
            seen = (places <= own) if window is None else (places <= own) & (places > own - window)
            self._masks[asked] = seen.repeat(repeats, 1)
        return self._masks[asked]


class Slotted(_Plan):
    """One new token a row, packed into one row; each sees its own slot."""

    def __init__(self, slots: Slots, like: torch.Tensor) -> None:
        super().__init__()
        self.slots = slots
        self.lengths = torch.tensor(slots.lengths, device=like.device)
        #: Rows of like size of each region, by their number in the region.
        self.groups = [
            grouped([blocks(length) for length in slots.lengths[it.first : it.last]]) for it in slots.regions
        ]
        self._hidden: dict[tuple[int, int, int | None], torch.Tensor] = {}

    def run(self, call: Call) -> torch.Tensor:
        _, heads, rows, size = call.query.shape
        shared = call.key.shape[0] // self.slots.positions
        query = call.query[0].transpose(0, 1).reshape(rows, shared, heads // shared, size)
        parts = []
        for region, groups in zip(self.slots.regions, self.groups, strict=True):
            keys, values = (self.slots.view(store, region) for store in (call.key, call.value))
            for a, b, end in groups:
                first, last = region.first + a, region.first + b
                hidden = self._mask(first, last, end, call)
                parts.append(one_query(query[first:last], keys[a:b, :, :end], values[a:b, :, :end], call.scale, hidden))
        return torch.cat(parts).view(1, rows, heads, -1)

    def _mask(self, first: int, last: int, size: int, call: Call) -> torch.Tensor:
        asked = (first, last, call.window)
        if asked not in self._hidden:
            self._hidden[asked] = hidden_beyond(self.lengths[first:last], size, call.query.dtype, call.window)
        return self._hidden[asked]
