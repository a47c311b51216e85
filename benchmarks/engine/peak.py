"""Computes the share of the core's peak int8 throughput that a workload's linear layers reach."""

import time
from collections.abc import Callable, Sequence
from statistics import median

import torch
from torch import nn

from benchmarks.engine.workload import VOCABULARY, Size
from worker.engine.transformer.kernel_check import check_kernels
from worker.engine.transformer.layers.linear import RowInt8Linear
from worker.engine.transformer.native.linear import NativeInt8Linear

_WIDTH, _ROWS, _TIMES = 2048, 1024, 7
#: Multiplications per token in the Marian model's linear layers. A source token passes through the encoder and through
#: the decoder's projections to cross-attention keys and values. A written token passes through the decoder and the
#: output layer.
_D, _FF, _LAYERS = 512, 2048, 6
_A_SOURCE_TOKEN = _LAYERS * (4 * _D * _D + 2 * _D * _FF) + _LAYERS * 2 * _D * _D
_A_TARGET_TOKEN = _LAYERS * (6 * _D * _D + 2 * _D * _FF) + VOCABULARY * _D


def translation_operations(sizes: Sequence[Size]) -> int:
    """Returns the multiplications and additions in the linear layers for these items without padding."""
    return 2 * sum(size.n_input * _A_SOURCE_TOKEN + size.n_output * _A_TARGET_TOKEN for size in sizes)


def int8_operations_per_second() -> float:
    """Measures the best rate of our int8 kernel on this core, or of torch's if ours is missing.

    It multiplies large matrices; the time to quantize is included.
    """
    torch.set_num_threads(1)
    kind = NativeInt8Linear if check_kernels() else RowInt8Linear
    linear, rows = kind(nn.Linear(_WIDTH, _WIDTH)), torch.randn(_ROWS, _WIDTH)
    with torch.inference_mode():
        taken = seconds(lambda: linear(rows))
    return 2 * _ROWS * _WIDTH * _WIDTH / taken


def seconds(call: Callable[[], object]) -> float:
    """Returns the median duration of a few calls."""
    taken = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    return median(taken)
