"""How the kernels of linear layers want weights: for a tile's outputs the same inputs lie side by side."""

import torch
from torch import nn

from worker.engine.transformer.weights.memory import HugePageArena

_PAGES = HugePageArena()


def in_panels(weight: torch.Tensor, columns: int, depth: int = 1) -> torch.Tensor:
    """``[outputs, inputs]`` as ``[outputs / columns, inputs / depth, columns, depth]``, filled up with zeros."""
    outputs, inputs = weight.shape
    whole = nn.functional.pad(weight, (0, -inputs % depth, 0, -outputs % columns))
    return _PAGES.hold(whole.view(-1, columns, whole.shape[1] // depth, depth).permute(0, 2, 1, 3))


def filled(values: torch.Tensor, columns: int) -> torch.Tensor:
    """One number for each output, and zeros for those that fill the last panel."""
    return nn.functional.pad(values, (0, -len(values) % columns))


def bias_of(linear: nn.Linear) -> torch.Tensor:
    """In fp32; zeros where there is none."""
    return torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach().float()
