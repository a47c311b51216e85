"""Norms of transformers, several passes each, replaced by those that take one."""

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import nn

from worker.engine.transformer.layers.likeness import are_equivalent
from worker.engine.transformer.layers.replacement import HooklessModule

#: Makes a root-mean-square norm of weights and what is added below the root.
RmsNormMaker = Callable[[torch.Tensor, float], HooklessModule]
#: Makes a norm around the mean of weights, biases and the same.
LayerNormMaker = Callable[[torch.Tensor, torch.Tensor, float], HooklessModule]


class TorchRmsNorm(HooklessModule):
    """``[..., size] → [..., size]`` by torch, which does it at once on a GPU."""

    def __init__(self, weight: torch.Tensor, epsilon: float) -> None:
        super().__init__()
        self.weight, self.epsilon = nn.Parameter(weight.detach(), requires_grad=False), epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.rms_norm(x, self.weight.shape, self.weight, self.epsilon)


def fuse_norms(model: nn.Module, rms: RmsNormMaker | None, layer: LayerNormMaker | None = None) -> None:
    """In place, what is a norm by what it makes of a sample; of the two kinds, what is given."""
    for path, module in list(model.named_modules()):
        epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
        weight = getattr(module, "weight", None)
        if not isinstance(epsilon, float) or not isinstance(weight, torch.Tensor) or weight.ndim != 1:
            continue
        bias = getattr(module, "bias", None)
        # Gemma's weights are what is added to 1.
        for own in (weight, 1 + weight):
            made = _made(own, bias, epsilon, rms, layer)
            exact = _made(own.float(), bias, epsilon, rms, layer)
            if made is not None and exact is not None and are_equivalent(deepcopy(module).float(), exact, len(weight)):
                model.set_submodule(path, made)
                break


def _made(
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    epsilon: float,
    rms: RmsNormMaker | None,
    layer: LayerNormMaker | None,
) -> HooklessModule | None:
    if bias is None:
        return None if rms is None else rms(weight, epsilon)
    return None if layer is None else layer(weight, bias, epsilon)
