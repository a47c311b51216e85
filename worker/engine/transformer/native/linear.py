"""int8 linear layers on our own kernel: quantizing the input, the product, and scaling its sums in one call."""

import ctypes
from enum import IntEnum

import torch
from torch import nn

from worker.engine.transformer.layers.replacement import HooklessModule
from worker.engine.transformer.native.library import kernels
from worker.engine.transformer.native.panels import bias_of, filled, in_panels
from worker.engine.transformer.weights.checkpoint import quantize_rows

#: Inputs that are multiplied and added at once; and of a chunk, which are filled up to whole ones.
_DEPTH, _CHUNK = 4, 64


class InputActivation(IntEnum):
    """What the kernel does to its input first."""

    NOTHING = 0
    RELU = 1
    SILU = 2
    #: The input is twice as wide: SiLU of its first half, times its second.
    SWIGLU = 3


class _Layer(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("panels", "totals", "scales", "bias")),
        *((name, ctypes.c_int64) for name in ("inputs", "padded", "outputs", "before")),
    )


class NativeInt8Linear(HooklessModule):
    """int8 weights with one scale an output row, 8-bit activations (7 without VNNI) with a range for each input row.

    ``[..., in] → [..., out]``, fp32. A range goes from a row's least to its greatest value, so that what an activation
    such as ReLU has made of it keeps all its steps.
    """

    weight: None = None

    def __init__(self, linear: nn.Linear, before: InputActivation = InputActivation.NOTHING) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._run = kernels().lengthwise_linear
        self._hold(linear, kernels().lengthwise_columns(), before)

    def _hold(self, linear: nn.Linear, columns: int, before: InputActivation) -> None:
        weights, scales = quantize_rows(linear.weight.detach().float())
        padded = self.in_features + -self.in_features % _CHUNK
        #: Kept for the kernel, which knows their addresses.
        self._tensors = (
            in_panels(nn.functional.pad(weights, (0, padded - self.in_features)), columns, _DEPTH),
            filled(weights.sum(dim=1, dtype=torch.int32), columns),
            filled(scales.float(), columns),
            filled(bias_of(linear), columns),
        )
        pointers = [tensor.data_ptr() for tensor in self._tensors]
        self._layer = _Layer(*pointers, self.in_features, padded, self.out_features, before)
        self._address = ctypes.addressof(self._layer)
        self._width = self.in_features * (2 if before is InputActivation.SWIGLU else 1)
        self._scratch_bytes = padded + 8

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.contiguous()
        rows = x.numel() // self._width
        out = x.new_empty(*x.shape[:-1], self.out_features)
        scratch = torch.empty((rows + rows // 16) * self._scratch_bytes, dtype=torch.uint8)
        self._run(self._address, x.data_ptr(), out.data_ptr(), scratch.data_ptr(), rows, torch.get_num_threads())
        return out
