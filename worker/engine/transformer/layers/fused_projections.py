"""Linear layers that read the same input, as one product: the input is quantized once, and one wide call is quicker.

Modules go on asking each of their layers by itself; the first that is asked computes for all.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from worker.engine.transformer.layers.replacement import HooklessModule

#: Layers of one module that read the same, by their usual names.
_TOGETHER = (
    ("q_proj", "k_proj", "v_proj"),
    ("q", "k", "v"),
    ("query", "key", "value"),
    ("q_lin", "k_lin", "v_lin"),
    ("gate_proj", "up_proj"),
    ("wi_0", "wi_1"),
)
#: Where attention looks at a source, its queries, the first of the three, read something else.
_OVER_SOURCE = ("encoder_attn", "EncDecAttention")


class FusedProjections(nn.Module):
    """``whole`` gives the outputs of all parts, one behind the other; they are kept until each has been fetched."""

    def __init__(self, parts: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.sizes = [part.out_features for part in parts]
        self.whole: nn.Module = concatenated_linear(parts)
        #: The input last seen, and by their numbers the outputs not fetched yet. A list, for setting an attribute of a
        #: module costs more than all else here.
        self._kept: list[Any] = [None, {}]

    def part(self, x: torch.Tensor, number: int) -> torch.Tensor:
        """``[..., in] → [..., out]`` of one part. Another input than before is computed anew."""
        kept = self._kept
        if kept[0] is not x or number not in kept[1]:
            kept[:] = x, dict(enumerate(self.whole(x).split_with_sizes(self.sizes, dim=-1)))
        output: torch.Tensor = kept[1].pop(number)
        if not kept[1]:
            kept[0] = None
        return output


class ProjectionSlice(HooklessModule):
    """Stands where the linear layer was."""

    weight: None = None

    def __init__(self, joined: FusedProjections, number: int) -> None:
        super().__init__()
        self._part, self._number = joined.part, number  # a method is no submodule: ``joined`` is its parent's

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._part(x, self._number)


def fuse_projections(model: nn.Module) -> None:
    """Joins what is read together, in place. The weights replaced are freed."""
    for path, module in list(model.named_modules()):
        for names in _TOGETHER:
            reading = names[1:] if path.endswith(_OVER_SOURCE) else names
            parts = [getattr(module, name, None) for name in reading]
            linears = [part for part in parts if type(part) is nn.Linear]
            if len(linears) == len(parts) and len({linear.in_features for linear in linears}) == 1:
                _join(module, reading, linears)


def _join(module: nn.Module, names: Sequence[str], linears: Sequence[nn.Linear]) -> None:
    joined = FusedProjections(linears)
    module.add_module(f"joined_{names[0]}", joined)
    for number, name in enumerate(names):
        setattr(module, name, ProjectionSlice(joined, number))


def concatenated_linear(parts: Sequence[nn.Linear]) -> nn.Linear:
    """One layer whose outputs are those of all parts, one behind the other."""
    has_bias = any(part.bias is not None for part in parts)
    first = parts[0].weight
    outputs = sum(part.out_features for part in parts)
    whole = nn.Linear(parts[0].in_features, outputs, bias=has_bias, device="meta", dtype=first.dtype)
    whole.weight = nn.Parameter(torch.cat([part.weight.detach() for part in parts]), requires_grad=False)
    if has_bias:
        biases = [first.new_zeros(part.out_features) if part.bias is None else part.bias.detach() for part in parts]
        whole.bias = nn.Parameter(torch.cat(biases), requires_grad=False)
    return whole
