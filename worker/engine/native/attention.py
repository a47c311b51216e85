"""Attention of one new token a row on our own kernel: over each row's own keys, nothing padded."""

import ctypes
from collections.abc import Sequence

import torch

from worker.engine.native.library import library

_LANES = 8


class _Memory(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("keys", "values", "starts", "capacities", "lengths")),
        *((name, ctypes.c_int64) for name in ("window", "shared", "repeats", "size")),
        ("scale", ctypes.c_float),
        ("bias", ctypes.c_void_p),
        ("bias_apart", ctypes.c_int64),
    )


class Rows:
    """Where rows lie in the memory of every layer, in positions; each has ``heads × size`` numbers there."""

    def __init__(self, starts: Sequence[int], capacities: Sequence[int], lengths: Sequence[int]) -> None:
        self.count = len(lengths)
        self._held = torch.tensor([starts, capacities, lengths], dtype=torch.int64)
        self.pointers = [row.data_ptr() for row in self._held]
        #: Room for the scores of the longest row.
        self.width = -(-max(lengths) // _LANES) * _LANES


def serves(query: torch.Tensor) -> bool:
    """Whether the kernel can take these queries."""
    return (
        query.device.type == "cpu"
        and query.dtype == torch.float32
        and query.shape[-1] % _LANES == 0
        and library() is not None
    )


def attend(
    rows: Rows,
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    shared: int,
    scale: float,
    window: int | None = None,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """``query`` ``[rows, heads, size]`` → the same shape. ``keys`` and ``values`` begin where the memory does, with
    ``shared`` heads; ``bias`` ``[1, heads, 1, positions]`` is added to the scores of every row.
    """
    kernels = library()
    assert kernels is not None  # noqa: S101 — see ``serves``
    count, heads, size = query.shape
    if query.stride(2) != 1:
        query = query.contiguous()
    if bias is not None:
        bias = bias.contiguous()
    memory = _Memory(
        keys.data_ptr(),
        values.data_ptr(),
        *rows.pointers,
        window or 0,
        shared,
        heads // shared,
        size,
        scale,
        None if bias is None else bias.data_ptr(),
        0 if bias is None else bias.shape[-1],
    )
    threads = torch.get_num_threads()
    out = query.new_empty(count, heads, size)
    scores = query.new_empty(threads * heads // shared * rows.width)
    kernels.lengthwise_attend(
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
