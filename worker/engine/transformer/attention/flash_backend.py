"""Attention on a GPU by torch's flash kernel: each row over its own keys, wherever they lie, in one call.

The kernel takes sequences one behind the other and is told of each where its keys begin and how many it sees. A head of
keys, with all queries that share it, is such a sequence here: in our caches a head's positions lie side by side.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch

from worker.engine.transformer.attention.interface import AttentionCall

_TYPES = (torch.bfloat16, torch.float16)
_LARGEST_HEAD = 256


def serves(call: AttentionCall) -> bool:
    """Whether the kernel can take this: 16 bits, no bias, no soft cap."""
    query, size = call.query, call.query.shape[-1]
    is_plain = call.bias is None and call.softcap is None and size == call.value.shape[-1]
    fits = query.dtype in _TYPES and is_plain and size % 8 == 0 and size <= _LARGEST_HEAD
    return fits and query.is_cuda and _has_kernel(query.device)


@cache
def _has_kernel(device: torch.device) -> bool:
    """From Ampere on."""
    return torch.cuda.get_device_capability(device) >= (8, 0)


class FlashRowLayout:
    """Where rows begin in the memory of every layer, and what room each has, in positions; on the device."""

    def __init__(self, starts: Sequence[int], capacities: Sequence[int], device: torch.device) -> None:
        self._starts, self._capacities = torch.tensor([starts, capacities], device=device, dtype=torch.int32)
        self._most = max(capacities)
        self._heads: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def attend(self, call: AttentionCall, query: torch.Tensor, shared: int, lengths: torch.Tensor) -> torch.Tensor:
        """One token a row: ``query`` ``[rows, heads, size]`` → the same shape; of each row ``lengths`` are seen."""
        rows, heads, size = query.shape
        begins, counted = self.of_heads(shared)
        apart = query.reshape(rows * shared, heads // shared, size)
        seen = lengths[:, None].expand(-1, shared).flatten()
        return _flash(call, apart, counted, begins, seen, 1, self._most).view(rows, heads, size)

    def attend_prompts(
        self,
        call: AttentionCall,
        query: torch.Tensor,
        shared: int,
        lengths: torch.Tensor,
        firsts: torch.Tensor,
        longest: int,
    ) -> torch.Tensor:
        """The last tokens of each row, packed: ``query`` ``[tokens, heads, size]`` → the same shape.

        Each sees its row, of ``lengths``, up to itself. Those of a row begin at ``firsts`` ``[rows]``; a row has
        ``longest`` at most.
        """
        tokens, heads, size = query.shape
        apart = query.reshape(tokens, shared, heads // shared, size).transpose(0, 1)
        asked = (firsts + torch.arange(shared, device=query.device)[:, None] * tokens).flatten()
        found = _flash(
            call,
            apart.reshape(shared * tokens, heads // shared, size),
            _closed(asked, shared * tokens),
            _closed(self._begins(shared).flatten(), 0),
            lengths.repeat(shared),
            longest,
            self._most,
        )
        return found.view(shared, tokens, heads // shared, size).transpose(0, 1).reshape(tokens, heads, size)

    def lasts(self, shared: int, lengths: torch.Tensor) -> torch.Tensor:
        """For each head of keys, then each row: the place of the row's last vector among all."""
        return (self._begins(shared) + (lengths - 1)).flatten()

    def of_heads(self, shared: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Where the keys of each row's heads begin, and how the queries are counted: known since the rows lie here."""
        if shared not in self._heads:
            begins = _closed(self._begins(shared).t().flatten(), 0).int()
            self._heads[shared] = begins, torch.arange(len(begins), device=begins.device, dtype=torch.int32)
        return self._heads[shared]

    def _begins(self, shared: int) -> torch.Tensor:
        """``[shared, rows]``: where each row's keys begin, for each of their heads."""
        head = torch.arange(shared, device=self._starts.device)[:, None]
        begins: torch.Tensor = self._starts * shared + self._capacities * head
        return begins


def attend_padded(call: AttentionCall, lengths: torch.Tensor) -> torch.Tensor:
    """``[rows, heads, tokens, size]`` → ``[rows, tokens, heads, size]``: every token sees its row, of ``lengths``.

    What stands where a row has no token means nothing.
    """
    rows, _, tokens, _ = call.query.shape
    begins = torch.arange(rows + 1, device=lengths.device, dtype=torch.int32) * tokens
    query, key, value = (part.transpose(1, 2).flatten(0, 1) for part in call[:3])
    found = _flash(call._replace(key=key, value=value), query, begins, begins, lengths, tokens, tokens, is_causal=False)
    return found.view(rows, tokens, *found.shape[1:])


def _flash(
    call: AttentionCall,
    query: torch.Tensor,
    asked: torch.Tensor,
    begins: torch.Tensor,
    lengths: torch.Tensor,
    most_asked: int,
    most: int,
    is_causal: bool = True,
) -> torch.Tensor:
    """``query`` ``[queries, heads, size]``, a sequence's between two of ``asked``, over keys from ``begins`` on."""
    key, value = ((part[:, None] if part.ndim == 2 else part) for part in (call.key, call.value))
    found: torch.Tensor = _kernel()(
        query,
        key,
        value,
        asked.int(),
        begins.int(),
        most_asked,
        most,
        0.0,
        is_causal,
        False,
        scale=call.scale,
        window_size_left=None if call.window is None else call.window - 1,
        window_size_right=None if call.window is None else 0,
        seqused_k=lengths.int(),
    )[0]
    return found


def _closed(begins: torch.Tensor, end: int) -> torch.Tensor:
    """With one more at the end, as the kernel wants them."""
    return torch.nn.functional.pad(begins, (0, 1), value=end)


def _kernel() -> Any:
    return torch.ops.aten._flash_attention_forward
