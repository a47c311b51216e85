"""The plans that attention follows: which rows of a forward pass are how long, and how they lie in its tensors.

Rows of like size are computed together and padding never is, so that the shapes of the products, and with them every
bit of a row's answer, follow from that row alone.
"""

from collections.abc import Sequence
from itertools import accumulate

import torch

from worker.engine.attention import Call, causal, hidden_beyond, one_query
from worker.engine.cache import Group, blocks, grouped


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
            seen = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=call.scale)
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


class Segments(_Plan):
    """Prompts packed one behind the other into one row; each token sees its own prompt up to itself."""

    def __init__(self, lengths: Sequence[int]) -> None:
        super().__init__()
        starts = [0, *accumulate(lengths)]
        self.segments = [Group(starts[first], starts[last], size) for first, last, size in grouped(lengths)]
        self.tokens = starts[-1]

    def run(self, call: Call) -> torch.Tensor:
        # Keys and values lie in the cache already; the ones just made are still at hand, packed like the query.
        parts = [
            causal(_segment(call.query, it), _segment(call.key, it), _segment(call.value, it), call.scale, call.window)
            for it in self.segments
        ]
        return torch.cat([part.transpose(1, 2).flatten(0, 1) for part in parts]).unsqueeze(0)


class Slotted(_Plan):
    """One new token a row, packed into one row; each sees its own slot of the cache. Rows are sorted by length."""

    def __init__(self, lengths: Sequence[int], like: torch.Tensor) -> None:
        super().__init__()
        self.groups = grouped([blocks(length) for length in lengths])
        self.lengths = torch.tensor(lengths, device=like.device)
        self._hidden: dict[tuple[Group, int | None], torch.Tensor] = {}

    def run(self, call: Call) -> torch.Tensor:
        _, heads, rows, size = call.query.shape
        shared = call.key.shape[1]
        query = call.query[0].transpose(0, 1).reshape(rows, shared, heads // shared, size)
        parts = []
        for group in self.groups:
            a, b, end = group
            key, value = call.key[a:b, :, :end], call.value[a:b, :, :end]
            parts.append(one_query(query[a:b], key, value, call.scale, self._mask(group, call)))
        return torch.cat(parts).view(1, rows, heads, -1)

    def _mask(self, group: Group, call: Call) -> torch.Tensor:
        asked = (group, call.window)
        if asked not in self._hidden:
            lengths = self.lengths[group.first : group.last]
            self._hidden[asked] = hidden_beyond(lengths, group.size, call.query.dtype, call.window)
        return self._hidden[asked]


def _segment(packed: torch.Tensor, segment: Group) -> torch.Tensor:
    """``[1, heads, tokens, dim]`` → ``[rows, heads, size, dim]``, the segment's rows."""
    part = packed[0, :, segment.first : segment.last]
    return part.view(part.shape[0], -1, segment.size, part.shape[-1]).transpose(0, 1)
