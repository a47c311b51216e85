"""int8 and fp32 linear layers on our own C kernels: a row's answer has the same bits in any batch.

One call does the whole layer. In int8 it applies the activation if there is one, transforms the input if the weights
are transformed, quantizes it, computes the product, and scales its sums.
"""

import ctypes
from enum import IntEnum

import torch
from torch import nn

from worker.engine.transformer.layers.replacement import HooklessModule, WeightType
from worker.engine.transformer.native.library import kernels
from worker.engine.transformer.weights.int8_rows import Int8Rows, quantized
from worker.engine.transformer.weights.memory import HugePageArena

#: The int8 kernel multiplies and adds ``_DEPTH`` inputs in one instruction, and takes inputs padded to whole chunks.
_DEPTH, _CHUNK = 4, 64

_PAGES = HugePageArena()


class InputActivation(IntEnum):
    """What the int8 kernel applies to its input before it quantizes it; the C code has the same numbers."""

    NOTHING = 0
    RELU = 1
    SILU = 2
    #: The input is twice as wide: SiLU of its first half, times its second half.
    SWIGLU = 3


class _Int8LayerStruct(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("panels", "totals", "scales", "bias")),
        *((name, ctypes.c_int64) for name in ("inputs", "padded", "outputs", "activation", "transforms")),
    )


class _ExactLayerStruct(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("panels", "bias")),
        *((name, ctypes.c_int64) for name in ("inputs", "outputs")),
    )


class NativeInt8Linear(HooklessModule):
    """int8 weights with one scale per output row, 8-bit activations (7 without VNNI) with one range per input row.

    ``[..., in] → [..., out]``, fp32. A range goes from a row's least to its greatest value, so that the output of an
    activation such as ReLU, which is never negative, uses all steps.
    """

    weight = WeightType

    def __init__(
        self,
        linear: nn.Linear,
        activation: InputActivation = InputActivation.NOTHING,
        weights: Int8Rows | None = None,
    ) -> None:
        """``weights``: the layer's, already quantized. Without them, they are quantized as is best for them."""
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._run = kernels().lengthwise_linear
        rows = quantized(linear.weight.detach()) if weights is None else weights
        self.is_transformed = rows.is_transformed
        self._hold(rows, _bias_of(linear), kernels().lengthwise_columns(), activation)

    def _hold(self, rows: Int8Rows, bias: torch.Tensor, columns: int, activation: InputActivation) -> None:
        padded = self.in_features + -self.in_features % _CHUNK
        #: Referenced here because the kernel knows only their addresses.
        self._tensors = (
            _in_panels(nn.functional.pad(rows.values, (0, padded - rows.values.shape[1])), columns, _DEPTH),
            _padded(rows.values.sum(dim=1, dtype=torch.int32), columns),
            _padded(rows.scale.float(), columns),
            _padded(bias, columns),
        )
        pointers = [tensor.data_ptr() for tensor in self._tensors]
        self._layer = _Int8LayerStruct(
            *pointers, self.in_features, padded, self.out_features, activation, rows.is_transformed
        )
        self._address = ctypes.addressof(self._layer)
        self._width = self.in_features * (2 if activation is InputActivation.SWIGLU else 1)
        self._scratch_bytes = padded + 8

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.contiguous()
        rows = x.numel() // self._width
        out = x.new_empty(*x.shape[:-1], self.out_features)
        scratch = torch.empty((rows + rows // 16) * self._scratch_bytes, dtype=torch.uint8)
        self._run(self._address, x.data_ptr(), out.data_ptr(), scratch.data_ptr(), rows, torch.get_num_threads())
        return out


class NativeLinear(HooklessModule):
    """fp32 ``[..., in] → [..., out]``: each output is summed in one fixed order, whatever else is in the batch."""

    weight = WeightType

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self._run = kernels().lengthwise_exact
        self._hold(linear, kernels().lengthwise_exact_columns())

    def _hold(self, linear: nn.Linear, columns: int) -> None:
        #: Referenced here because the kernel knows only their addresses.
        self._tensors = _in_panels(linear.weight.detach().float(), columns), _padded(_bias_of(linear), columns)
        pointers = [tensor.data_ptr() for tensor in self._tensors]
        self._layer = _ExactLayerStruct(*pointers, self.in_features, self.out_features)
        self._address = ctypes.addressof(self._layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.contiguous()
        out = x.new_empty(*x.shape[:-1], self.out_features)
        rows = x.numel() // self.in_features
        self._run(self._address, x.data_ptr(), out.data_ptr(), rows, torch.get_num_threads())
        return out


def _in_panels(weight: torch.Tensor, columns: int, depth: int = 1) -> torch.Tensor:
    """Weights ``[outputs, inputs]`` as panels ``[outputs / columns, inputs / depth, columns, depth]``, zero-padded.

    A tile of ``columns`` outputs then reads its weights as one run of memory.
    """
    outputs, inputs = weight.shape
    padded = nn.functional.pad(weight, (0, -inputs % depth, 0, -outputs % columns))
    return _PAGES.hold(padded.view(-1, columns, padded.shape[1] // depth, depth).permute(0, 2, 1, 3))


def _padded(values: torch.Tensor, columns: int) -> torch.Tensor:
    """One number per output, with zeros for the outputs that fill the last panel."""
    return nn.functional.pad(values, (0, -len(values) % columns))


def _bias_of(linear: nn.Linear) -> torch.Tensor:
    """The bias in fp32, or zeros where the layer has none."""
    return torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach().float()
