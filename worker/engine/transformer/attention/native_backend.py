"""Attention on our own C kernels: no padding, and a row's answer has the same bits in any batch."""

import ctypes
from collections.abc import Sequence
from itertools import accumulate

import torch

from worker.engine.transformer.attention.interface import AttentionCall
from worker.engine.transformer.native import library

#: The most keys in a panel of scores, and the most queries in a block of prefill, of any processor's kernels.
_KEYS, _QUERIES = 32, 12


class _KVMemoryStruct(ctypes.Structure):
    """The struct ``memory`` of ``attention.h``."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("keys", "values")),
        ("fp16", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("starts", "capacities", "lengths")),
        *((name, ctypes.c_int64) for name in ("window", "shared", "repeats", "size")),
        ("scale", ctypes.c_float),
        ("softcap", ctypes.c_float),
        ("bias", ctypes.c_void_p),
        ("bias_apart", ctypes.c_int64),
    )


class NativeRowLayout:
    """Where rows are in the memory of each layer: each row's first position, capacity and length, in positions.

    A position is one token of one row: ``heads × size`` numbers.
    """

    def __init__(self, starts: Sequence[int], capacities: Sequence[int], lengths: Sequence[int]) -> None:
        self.lengths = lengths
        self._held = torch.tensor([starts, capacities, lengths], dtype=torch.int64)
        self._pointers = [row.data_ptr() for row in self._held]
        #: Scores of the longest row, rounded up to whole panels.
        self.width = -(-max(lengths) // _KEYS) * _KEYS

    def memory(self, call: AttentionCall, heads: int, shared: int) -> _KVMemoryStruct:
        """The kernels' argument for this call, of ``heads`` query heads and ``shared`` key-value heads."""
        return _KVMemoryStruct(
            call.key.data_ptr(),
            call.value.data_ptr(),
            call.key.dtype == torch.float16,
            *self._pointers,
            call.window or 0,
            shared,
            heads // shared,
            call.key.shape[-1],
            call.scale,
            call.softcap or 0.0,
            None if call.bias is None else call.bias.data_ptr(),
            0 if call.bias is None else call.bias.stride(1),
        )


def serves(call: AttentionCall) -> bool:
    """Whether the kernels can run this call. fp16 keys on a CPU always run here: nothing else reads them."""
    if call.key.dtype == torch.float16 and call.key.device.type == "cpu":
        return True
    is_dense = call.bias is None or call.bias.stride(3) == 1
    return is_dense and call.value.shape[-1] == call.query.shape[-1] and library.serves(call.query)


def attend(rows: NativeRowLayout, call: AttentionCall, query: torch.Tensor, shared: int) -> torch.Tensor:
    """A decode step, one token in each row: ``query`` ``[rows, heads, size]`` → the same shape.

    ``call.key`` and ``call.value`` start where the cache's memory starts; ``shared`` is the number of key-value heads.
    """
    query = _dense(query)
    if call.bias is not None:
        call = call._replace(bias=_dense(call.bias))
    count, heads, size = query.shape
    memory, threads = rows.memory(call, heads, shared), torch.get_num_threads()
    out = query.new_empty(count, heads, size)
    scores = query.new_empty(threads * heads // shared * rows.width)
    library.kernels().lengthwise_attend(
        ctypes.addressof(memory),
        query.data_ptr(),
        *query.stride()[:2],
        out.data_ptr(),
        scores.data_ptr(),
        rows.width,
        count,
        threads,
    )
    return out


def attend_prompts(
    rows: NativeRowLayout, call: AttentionCall, query: torch.Tensor, shared: int, known: int
) -> torch.Tensor:
    """Prefill: the packed tokens of all rows after their first ``known``, which the cache has already.

    ``query`` ``[tokens, heads, size]`` → the same shape. Each token sees its row up to itself.
    """
    query = _dense(query)
    tokens, heads, size = query.shape
    firsts = torch.tensor([0, *accumulate(length - known for length in rows.lengths[:-1])])
    memory, threads = rows.memory(call, heads, shared), torch.get_num_threads()
    out = query.new_empty(tokens, heads, size)
    scratch = query.new_empty(threads * (rows.width * (size + _QUERIES) + (size + _KEYS) * _QUERIES))
    library.kernels().lengthwise_attend_prompts(
        ctypes.addressof(memory),
        query.data_ptr(),
        *query.stride()[:2],
        out.data_ptr(),
        firsts.data_ptr(),
        known,
        scratch.data_ptr(),
        rows.width,
        len(rows.lengths),
        threads,
    )
    return out


def _dense(vectors: torch.Tensor) -> torch.Tensor:
    """The same with contiguous vectors, which the kernels require."""
    return vectors if vectors.stride(-1) == 1 else vectors.contiguous()
