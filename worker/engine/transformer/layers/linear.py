"""Matrix products on the CPU: int8 whose rows do not see each other, and exact fp32 with prepacked weights.

Modules here take the place of ``nn.Linear``: ``[..., in] → [..., out]``. Their ``weight`` is ``None``, which tells
transformers' modules that look at it (T5) to leave the input's type alone.
"""

import warnings
from collections.abc import Callable

import torch
from torch import nn

from worker.engine.transformer.layers.replacement import HooklessModule
from worker.engine.transformer.weights.checkpoint import quantize_rows

#: Below every activation that means anything; keeps a row of zeros from being divided by zero.
_TINY = 1e-30


class RowInt8Linear(HooklessModule):
    """int8 weights with one scale an output row, int8 activations with one scale an input row.

    torch's dynamic kernel takes the range of the *whole* input, so that a row's rounding depends on its neighbours.
    Here each row is divided by its own absolute maximum, and the kernel is given the range [−1, 1]: the sums are then
    integers of that row alone, and its answer is the same bits in any batch. Its error is about half that of one range
    for all (0.9% against 1.6% of the output's norm).
    """

    weight: None = None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.packed = _pack(linear.weight.detach().float())
        self.bias: torch.Tensor | None = None if linear.bias is None else linear.bias.detach().float().clone()
        # Without VNNI the kernel adds pairs of products in 16 bits, which 8-bit activations overflow.
        self.steps = 127 if torch.cpu._is_vnni_supported() else 63

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(-1, self.in_features)
        scale = rows.abs().amax(dim=1, keepdim=True).clamp_min_(_TINY)
        out: torch.Tensor = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            rows / scale, 1 / self.steps, self.steps, self.packed
        )
        if self.bias is None:
            out.mul_(scale)
        else:
            torch.addcmul(self.bias, out, scale, out=out)
        return out.view(*x.shape[:-1], self.out_features)


def _pack(weight: torch.Tensor) -> object:
    """``[out, in]`` in the layout of torch's int8 kernel."""
    rows, scale = quantize_rows(weight)
    zeros = torch.zeros(len(scale), dtype=torch.long)
    with warnings.catch_warnings():
        # torch 2.13 announces the end of quantized tensors; the kernel, which stays, takes its weights as nothing else.
        warnings.filterwarnings("ignore", message="torch.quantize_per_tensor", category=UserWarning)
        quantized = torch._make_per_channel_quantized_tensor(rows, scale.double(), zeros, 0)
    return torch.ops.quantized.linear_prepack(quantized, None)


class PackedLinear(HooklessModule):
    """fp32 through oneDNN with weights laid out once for its kernels: 1.3–2.4 × torch's default, error below 1e-6."""

    weight: None = None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().float())
        self.bias = None if linear.bias is None else linear.bias.detach().float().clone()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return out


class RowwiseLinear(HooklessModule):
    """fp32 with one dot product an output, so that rows do not see each other; for few outputs."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = (x.unsqueeze(-2) * self.weight).sum(-1)
        return out if self.bias is None else out + self.bias


def replace_linears(model: nn.Module, make: Callable[[str, nn.Linear], nn.Module]) -> None:
    """Puts ``make(name, linear)`` in the place of every ``nn.Linear`` (not of subclasses) of ``model``."""
    found = [(name, module) for name, module in model.named_modules() if type(module) is nn.Linear]
    for name, module in found:
        model.set_submodule(name, make(name, module))


def has_int8() -> bool:
    return torch.backends.quantized.engine in ("x86", "fbgemm", "onednn", "qnnpack")


def has_onednn() -> bool:
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
