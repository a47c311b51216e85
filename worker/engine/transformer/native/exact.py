"""Exact fp32 linear layers on our own kernel: rows do not see each other, not even in how their sums are rounded."""

import ctypes

import torch
from torch import nn

from worker.engine.transformer.layers.replacement import HooklessModule
from worker.engine.transformer.native.library import kernels
from worker.engine.transformer.native.panels import bias_of, filled, in_panels


class _Layer(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("panels", "bias")),
        *((name, ctypes.c_int64) for name in ("inputs", "outputs")),
    )


class NativeLinear(HooklessModule):
    """``[..., in] → [..., out]``, fp32; a row's answer is the same bits in any batch."""

    weight: None = None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._run = kernels().lengthwise_exact
        self._hold(linear, kernels().lengthwise_exact_columns())

    def _hold(self, linear: nn.Linear, columns: int) -> None:
        #: Kept for the kernel, which knows their addresses.
        self._tensors = in_panels(linear.weight.detach().float(), columns), filled(bias_of(linear), columns)
        pointers = [tensor.data_ptr() for tensor in self._tensors]
        self._layer = _Layer(*pointers, self.in_features, self.out_features)
        self._address = ctypes.addressof(self._layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.contiguous()
        out = x.new_empty(*x.shape[:-1], self.out_features)
        rows = x.numel() // self.in_features
        self._run(self._address, x.data_ptr(), out.data_ptr(), rows, torch.get_num_threads())
        return out
