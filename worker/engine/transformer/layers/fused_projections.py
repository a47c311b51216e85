"""Fuses linear layers that read the same input (query, key and value; gate and up) into one wide product.

The input is then quantized once, and one wide product is faster than several narrow ones. transformers' modules still
call each layer separately: the first call computes the outputs of all, and the others fetch theirs.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from worker.engine.transformer.layers.replacement import HooklessModule, may_replace

#: The names under which architectures keep layers of one module that read the same input.
_GROUPS = (
    ("q_proj", "k_proj", "v_proj"),
    ("q", "k", "v"),
    ("query", "key", "value"),
    ("q_lin", "k_lin", "v_lin"),
    ("gate_proj", "up_proj"),
    ("wi_0", "wi_1"),
)
#: Names of cross-attention modules. Their query projection, the first of three, reads the decoder, not the encoder.
_CROSS_ATTENTION = ("encoder_attn", "EncDecAttention")


class FusedProjections(nn.Module):
    """Several linear layers computed as one, ``linear``, whose output is split into theirs.

    Outputs are kept until each layer has fetched its own.
    """

    def __init__(self, parts: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.sizes = [part.out_features for part in parts]
        self.linear: nn.Module = concatenated_linear(parts)
        #: The last input, and the outputs that have not been fetched yet, by the number of their layer. A list, because
        #: setting an attribute of a module costs more than everything else here.
        self._kept: list[Any] = [None, {}]

    def part(self, x: torch.Tensor, number: int) -> torch.Tensor:
        """The output of one layer, ``[..., in] → [..., out]``. Computes all layers unless this input's are at hand."""
        kept = self._kept
        if kept[0] is not x or number not in kept[1]:
            kept[:] = x, dict(enumerate(self.linear(x).split_with_sizes(self.sizes, dim=-1)))
        output: torch.Tensor = kept[1].pop(number)
        if not kept[1]:
            kept[0] = None
        return output


class ProjectionSlice(HooklessModule):
    """Takes the place of one fused linear layer in its module."""

    weight: None = None

    def __init__(self, fused: FusedProjections, number: int) -> None:
        super().__init__()
        self._part, self._number = fused.part, number  # a bound method: as a submodule it would be registered twice

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._part(x, self._number)


def fuse_projections(model: nn.Module) -> None:
    """Fuses all layers of ``model`` that read the same input, in place; the old weights are freed."""
    for path, module in list(model.named_modules()):
        for names in _GROUPS:
            own = names[1:] if path.endswith(_CROSS_ATTENTION) else names
            parts = [getattr(module, name, None) for name in own]
            linears = [part for part in parts if type(part) is nn.Linear]
            is_group = len(linears) == len(parts) and len({linear.in_features for linear in linears}) == 1
            if is_group and all(may_replace(module, name) for name in own):
                _fuse(module, own, linears)


def _fuse(module: nn.Module, names: Sequence[str], linears: Sequence[nn.Linear]) -> None:
    fused = FusedProjections(linears)
    module.add_module(f"fused_{names[0]}", fused)
    for number, name in enumerate(names):
        setattr(module, name, ProjectionSlice(fused, number))


def concatenated_linear(parts: Sequence[nn.Linear]) -> nn.Linear:
    """One linear layer whose outputs are those of all parts in order. If any part has a bias, others get zeros."""
    has_bias = any(part.bias is not None for part in parts)
    first = parts[0].weight
    outputs = sum(part.out_features for part in parts)
    fused = nn.Linear(parts[0].in_features, outputs, bias=has_bias, device="meta", dtype=first.dtype)
    fused.weight = nn.Parameter(torch.cat([part.weight.detach() for part in parts]), requires_grad=False)
    if has_bias:
        biases = [first.new_zeros(part.out_features) if part.bias is None else part.bias.detach() for part in parts]
        fused.bias = nn.Parameter(torch.cat(biases), requires_grad=False)
    return fused
