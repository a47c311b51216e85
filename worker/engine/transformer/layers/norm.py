"""Replaces transformers' norms, which take several passes over their input, by norms that take one."""

import inspect
from collections.abc import Callable
from copy import deepcopy

import torch
from torch import nn

from worker.engine.transformer.layers.replacement import HooklessModule, are_equivalent

#: Makes a root-mean-square norm from its weights and its epsilon.
RmsNormMaker = Callable[[torch.Tensor, float], HooklessModule]
#: Makes a layer norm from its weights, its biases and its epsilon.
LayerNormMaker = Callable[[torch.Tensor, torch.Tensor, float], HooklessModule]


class TorchRmsNorm(HooklessModule):
    """Root-mean-square norm ``[..., size] → [..., size]`` by torch, which runs it as one kernel on a GPU."""

    def __init__(self, weight: torch.Tensor, epsilon: float) -> None:
        super().__init__()
        self.weight, self.epsilon = nn.Parameter(weight.detach(), requires_grad=False), epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.rms_norm(x, self.weight.shape, self.weight, self.epsilon)


def fuse_norms(model: nn.Module, rms: RmsNormMaker | None, layer: LayerNormMaker | None = None) -> None:
    """Replaces the norms of ``model`` in place by those that ``rms`` and ``layer`` make; ``None`` leaves a kind alone.

    A module counts as a norm if it has an epsilon and a weight vector, reads one tensor (a gated norm reads two), and
    gives what the new norm gives for a sample.
    """
    for path, module in list(model.named_modules()):
        epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
        weight = getattr(module, "weight", None)
        if not isinstance(epsilon, float) or not isinstance(weight, torch.Tensor) or weight.ndim != 1:
            continue
        if len(inspect.signature(module.forward).parameters) != 1:
            continue
        bias = getattr(module, "bias", None)
        # Gemma stores its weights as differences from 1.
        for own in (weight, 1 + weight):
            made = _make_norm(own, bias, epsilon, rms, layer)
            exact = _make_norm(own.float(), bias, epsilon, rms, layer)
            if made is not None and exact is not None and are_equivalent(deepcopy(module).float(), exact, len(weight)):
                model.set_submodule(path, made)
                break


def _make_norm(
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    epsilon: float,
    rms: RmsNormMaker | None,
    layer: LayerNormMaker | None,
) -> HooklessModule | None:
    if bias is None:
        return None if rms is None else rms(weight, epsilon)
    return None if layer is None else layer(weight, bias, epsilon)
