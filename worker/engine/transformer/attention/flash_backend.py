"""Attention on a GPU by torch's flash kernel (FlashAttention-2, arXiv:2307.08691): all rows in one call, unpadded.

The kernel takes packed sequences, and for each sequence where its keys begin and how many of them count. We pass each
key-value head of a row, with the query heads that share it, as one sequence, because our caches store the positions of
a head side by side.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch

from worker.engine.transformer.attention.interface import AttentionCall

_TYPES = (torch.bfloat16, torch.float16)
_MAX_HEAD_SIZE = 256


def serves(call: AttentionCall) -> bool:
    """Whether the kernel can run this call: 16-bit numbers, no bias, no soft cap, on a GPU that has it."""
    query, size = call.query, call.query.shape[-1]
    is_plain = call.bias is None and call.softcap is None and size == call.value.shape[-1]
    fits = query.dtype in _TYPES and is_plain and size % 8 == 0 and size <= _MAX_HEAD_SIZE
    return fits and query.is_cuda and _has_kernel(query.device)


@cache
def _has_kernel(device: torch.device) -> bool:
    """Whether the GPU is an Ampere or later."""
    return torch.cuda.get_device_capability(device) >= (8, 0)


class FlashRowLayout:
    """Where rows are in the memory of each layer: each row's first position and capacity, on the device."""

    def __init__(self, starts: Sequence[int], capacities: Sequence[int], device: torch.device) -> None:
        self._starts, self._capacities = torch.tensor([starts, capacities], device=device, dtype=torch.int32)
        self._max_capacity = max(capacities)
        self._heads: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def attend(self, call: AttentionCall, query: torch.Tensor, shared: int, lengths: torch.Tensor) -> torch.Tensor:
        """A decode step: ``query`` ``[rows, heads, size]`` → the same shape. Queries see ``lengths`` ``[rows]`` keys.

        ``shared`` is the number of key-value heads, here and below.
        """
        rows, heads, size = query.shape
        key_starts, query_starts = self.decode_starts(shared)
        by_head = query.reshape(rows * shared, heads // shared, size)
        seen = lengths[:, None].expand(-1, shared).flatten()
        return _flash(call, by_head, query_starts, key_starts, seen, 1, self._max_capacity).view(rows, heads, size)

    def attend_prompts(
        self,
        call: AttentionCall,
        query: torch.Tensor,
        shared: int,
        lengths: torch.Tensor,
        firsts: torch.Tensor,
        longest: int,
    ) -> torch.Tensor:
        """Prefill of the last tokens of each row, packed: ``query`` ``[tokens, heads, size]`` → the same shape.

        Each token sees its row up to itself; rows have ``lengths`` tokens. A row's packed tokens begin at ``firsts``
        ``[rows]``, and there are at most ``longest`` of them.
        """
        tokens, heads, size = query.shape
        by_head = query.reshape(tokens, shared, heads // shared, size).transpose(0, 1)
        query_starts = (firsts + torch.arange(shared, device=query.device)[:, None] * tokens).flatten()
        out = _flash(
            call,
            by_head.reshape(shared * tokens, heads // shared, size),
            _with_end(query_starts, shared * tokens),
            _with_end(self._key_starts(shared).flatten(), 0),
            lengths.repeat(shared),
            longest,
            self._max_capacity,
        )
        return out.view(shared, tokens, heads // shared, size).transpose(0, 1).reshape(tokens, heads, size)

    def last_indices(self, shared: int, lengths: torch.Tensor) -> torch.Tensor:
        """The index of each row's last key vector: for each key-value head, then for each row."""
        return (self._key_starts(shared) + (lengths - 1)).flatten()

    def decode_starts(self, shared: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Where the keys and queries of each sequence begin in a decode step. Depends on the layout alone."""
        if shared not in self._heads:
            key_starts = _with_end(self._key_starts(shared).t().flatten(), 0).int()
            self._heads[shared] = key_starts, torch.arange(len(key_starts), device=key_starts.device, dtype=torch.int32)
        return self._heads[shared]

    def _key_starts(self, shared: int) -> torch.Tensor:
        """``[shared, rows]``: the index of the first key vector of each key-value head of each row."""
        head = torch.arange(shared, device=self._starts.device)[:, None]
        key_starts: torch.Tensor = self._starts * shared + self._capacities * head
        return key_starts


def attend_padded(call: AttentionCall, lengths: torch.Tensor) -> torch.Tensor:
    """Attention without a causal mask: ``[rows, heads, tokens, size]`` → ``[rows, tokens, heads, size]``.

    Every token sees its whole row, of ``lengths`` tokens. The output for padding is meaningless.
    """
    rows, _, tokens, _ = call.query.shape
    key_starts = torch.arange(rows + 1, device=lengths.device, dtype=torch.int32) * tokens
    query, key, value = (part.transpose(1, 2).flatten(0, 1) for part in call[:3])
    out = _flash(
        call._replace(key=key, value=value), query, key_starts, key_starts, lengths, tokens, tokens, is_causal=False
    )
    return out.view(rows, tokens, *out.shape[1:])


def _flash(
    call: AttentionCall,
    query: torch.Tensor,
    query_starts: torch.Tensor,
    key_starts: torch.Tensor,
    lengths: torch.Tensor,
    max_queries: int,
    max_keys: int,
    is_causal: bool = True,
) -> torch.Tensor:
    """Calls the kernel: ``query`` ``[queries, heads, size]`` → the same shape.

    Sequence n has the queries from ``query_starts[n]`` to ``query_starts[n + 1]``, and ``lengths[n]`` keys from
    ``key_starts[n]`` on. No sequence has more than ``max_queries`` queries and ``max_keys`` keys.
    """
    key, value = ((part[:, None] if part.ndim == 2 else part) for part in (call.key, call.value))
    out: torch.Tensor = _kernel()(
        query,
        key,
        value,
        query_starts.int(),
        key_starts.int(),
        max_queries,
        max_keys,
        0.0,
        is_causal,
        False,
        scale=call.scale,
        window_size_left=None if call.window is None else call.window - 1,
        window_size_right=None if call.window is None else 0,
        seqused_k=lengths.int(),
    )[0]
    return out


def _with_end(starts: torch.Tensor, end: int) -> torch.Tensor:
    """``starts`` with ``end`` appended, as the kernel expects."""
    return torch.nn.functional.pad(starts, (0, 1), value=end)


def _kernel() -> Any:
    return torch.ops.aten._flash_attention_forward
