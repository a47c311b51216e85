"""int8 linear layers on our own kernel: quantizing the input, the product, and scaling its sums in one call."""

import ctypes

import torch
from torch import nn

from worker.engine.checkpoint import quantize_rows
from worker.engine.native.library import library


class _Layer(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("panels", "totals", "scales", "bias")),
        *((name, ctypes.c_int64) for name in ("inputs", "padded", "outputs")),
    )


class NativeInt8Linear(nn.Module):
    """int8 weights with one scale an output row, 8-bit activations (7 without VNNI) with a range for each input row.

    ``[..., in] → [..., out]``, fp32. A range begins at a row's least and ends at its greatest value, so that what an
    activation such as ReLU has made of it keeps all its steps.
    """

    weight: None = None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        kernels = library()
        assert kernels is not None  # noqa: S101 — whoever asks for it has looked
        self._run = kernels.lengthwise_linear
        self._hold(linear, kernels.lengthwise_columns())

    def _hold(self, linear: nn.Linear, columns: int) -> None:
        rows, scales = quantize_rows(linear.weight.detach().float())
        outputs = -(-self.out_features // columns) * columns
        self._padded = -(-self.in_features // 4) * 4
        weights = torch.zeros(outputs, self._padded, dtype=torch.int8)
        weights[: self.out_features, : self.in_features] = rows
        quads = weights.view(outputs // columns, columns, self._padded // 4, 4)
        bias = torch.zeros(self.out_features) if linear.bias is None else linear.bias.detach().float()
        self._tensors = (
            quads.permute(0, 2, 1, 3).contiguous(),
            weights.sum(dim=1, dtype=torch.int32),
            nn.functional.pad(scales.float(), (0, outputs - self.out_features)),
            nn.functional.pad(bias, (0, outputs - self.out_features)),
        )
        pointers = [tensor.data_ptr() for tensor in self._tensors]
        self._layer = _Layer(*pointers, self.in_features, self._padded, self.out_features)
        self._address = ctypes.addressof(self._layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.contiguous()
        rows = x.numel() // self.in_features
        out = x.new_empty(*x.shape[:-1], self.out_features)
        scratch = torch.empty(rows * (self._padded + 8), dtype=torch.uint8)
        self._run(self._address, x.data_ptr(), out.data_ptr(), scratch.data_ptr(), rows, torch.get_num_threads())
        return out
