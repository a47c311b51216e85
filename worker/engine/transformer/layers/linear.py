"""Linear layers for the CPU on torch's kernels: int8, fp32 with prepacked weights, and one product per row.

These modules take the place of ``nn.Linear``: ``[..., in] → [..., out]``.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from worker.engine.transformer.layers.replacement import HooklessModule, WeightType, may_replace
from worker.engine.transformer.weights.hadamard import transformed
from worker.engine.transformer.weights.int8_rows import Int8Rows, quantized

#: The least scale of a row: it keeps a row of zeros from a division by zero, and no real activation is smaller.
_TINY = 1e-30


class RowInt8Linear(HooklessModule):
    """int8 weights with one scale per output row, int8 activations with one scale per input row.

    torch's dynamic kernel quantizes the *whole* input by one range, so a row's rounding would depend on its neighbours.
    Here each row is divided by its own absolute maximum, and the kernel gets the range [−1, 1]. The sums are then
    integers that depend on that row alone, and its answer has the same bits in any batch. The error is about half that
    of one range for all rows (0.9% against 1.6% of the output's norm).
    """

    weight = WeightType

    def __init__(self, linear: nn.Linear, weights: Int8Rows | None = None) -> None:
        """``weights``: the layer's, already quantized. Without them, they are quantized as is best for them."""
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        rows = quantized(linear.weight.detach()) if weights is None else weights
        self.is_transformed, self.packed = rows.is_transformed, _pack(rows)
        self.packed_bytes = rows.values.nbytes
        self.bias: torch.Tensor | None = None if linear.bias is None else linear.bias.detach().float().clone()
        # Without VNNI the kernel adds pairs of products in 16 bits, and 8-bit activations would overflow them.
        self.steps = 127 if torch.cpu._is_vnni_supported() else 63

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.reshape(-1, self.in_features)
        if self.is_transformed:
            rows = transformed(rows)
        scale = rows.abs().amax(dim=1, keepdim=True).clamp_min_(_TINY)
        out: torch.Tensor = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            rows / scale, 1 / self.steps, self.steps, self.packed
        )
        if self.bias is None:
            out.mul_(scale)
        else:
            torch.addcmul(self.bias, out, scale, out=out)
        return out.view(*x.shape[:-1], self.out_features)


def _pack(weights: Int8Rows) -> object:
    """The weights packed for torch's int8 kernel."""
    zeros = torch.zeros(len(weights.scale), dtype=torch.long)
    with warnings.catch_warnings():
        # torch 2.13 deprecates quantized tensors. Its int8 kernel stays, and takes its weights in no other form.
        warnings.filterwarnings("ignore", message="torch.quantize_per_tensor", category=UserWarning)
        tensor = torch._make_per_channel_quantized_tensor(weights.values, weights.scale.double(), zeros, 0)
    return torch.ops.quantized.linear_prepack(tensor, None)


class PackedLinear(HooklessModule):
    """fp32 by oneDNN, whose kernels get weights packed once: 1.3–2.4 × as fast as torch's default, error below 1e-6."""

    weight = WeightType

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().float())
        self.bias = None if linear.bias is None else linear.bias.detach().float().clone()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return out


class RowwiseLinear(HooklessModule):
    """fp32 with one dot product per output, so that a row's answer has the same bits in any batch; for few outputs."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = (x.unsqueeze(-2) * self.weight).sum(-1)
        return out if self.bias is None else out + self.bias


def replace_linears(model: nn.Module, make: Callable[[str, nn.Linear], nn.Module]) -> None:
    """Replaces every ``nn.Linear`` of ``model``, but no subclass of it, by ``make(name, linear)``, in place.

    A layer stays whose weights another module reads.
    """
    found = [(name, module) for name, module in model.named_modules() if type(module) is nn.Linear]
    for name, module in found:
        if may_replace(model, name):
            model.set_submodule(name, make(name, module))


class _ZeroBias:
    """Stands in for a bias that was moved elsewhere: ``scores + bias`` gives ``scores`` without an addition."""

    def __radd__(self, scores: torch.Tensor) -> torch.Tensor:
        return scores

    def to(self, *_: Any, **__: Any) -> "_ZeroBias":
        return self


def fold_logits_bias(model: Any) -> None:
    """Moves ``final_logits_bias`` (Marian, BART) into ``lm_head``, in place, where a model has both.

    As an addition of its own it is a pass over rows × vocabulary at every step: 3% of a translation's time.
    """
    bias: Any = getattr(model, "final_logits_bias", None)
    head: Any = getattr(model, "lm_head", None)
    if bias is not None and getattr(head, "bias", bias) is None and type(head) is nn.Linear:
        head.bias = nn.Parameter(bias.detach()[0].clone(), requires_grad=False)
        del model.final_logits_bias
        model.final_logits_bias = _ZeroBias()


def has_int8() -> bool:
    """Whether torch has an int8 kernel for this processor."""
    return torch.backends.quantized.engine in ("x86", "fbgemm", "onednn", "qnnpack")


def has_onednn() -> bool:
    """Whether torch was built with oneDNN."""
    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
