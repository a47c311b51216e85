"""Modules of transformers whose arithmetic one kernel does in one pass, put in their place."""

from typing import Any

import torch
from torch import nn

from worker.engine.transformer.layers.fused_projections import concatenated_linear
from worker.engine.transformer.layers.likeness import are_equivalent
from worker.engine.transformer.layers.replacement import HooklessModule
from worker.engine.transformer.native.library import kernels
from worker.engine.transformer.native.linear import InputActivation, NativeInt8Linear

_ACTIVATIONS = {InputActivation.RELU: nn.functional.relu, InputActivation.SILU: nn.functional.silu}


class RmsNorm(HooklessModule):
    """``[..., size] → [..., size]``, fp32: each vector over its root mean square, times ``weight``."""

    def __init__(self, weight: torch.Tensor, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().float().contiguous(), requires_grad=False)
        self.epsilon = epsilon
        self._run, self._address = kernels().lengthwise_rms_norm, self.weight.data_ptr()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.contiguous()
        size, out = x.shape[-1], torch.empty_like(x)
        threads = torch.get_num_threads()
        self._run(x.data_ptr(), self._address, out.data_ptr(), x.numel() // size, size, self.epsilon, threads)
        return out


class LayerNorm(HooklessModule):
    """``[..., size] → [..., size]``, fp32: each vector less its mean, over its deviation, times ``weight``."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, epsilon: float) -> None:
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(part.detach().float().contiguous(), requires_grad=False) for part in (weight, bias)
        )
        self.epsilon = epsilon
        self._run, self._addresses = kernels().lengthwise_layer_norm, (self.weight.data_ptr(), self.bias.data_ptr())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.contiguous()
        size, out = x.shape[-1], torch.empty_like(x)
        threads = torch.get_num_threads()
        self._run(x.data_ptr(), *self._addresses, out.data_ptr(), x.numel() // size, size, self.epsilon, threads)
        return out


class SwigluFeedForward(HooklessModule):
    """Llama's feed-forward layer in int8: SiLU of the gate, times ``up``, is made where ``down`` quantizes it."""

    def __init__(self, mlp: Any) -> None:
        super().__init__()
        gate, up, down = mlp.gate_proj, mlp.up_proj, mlp.down_proj
        self.gate_up = NativeInt8Linear(concatenated_linear([gate, up]))
        self.down = NativeInt8Linear(down, InputActivation.SWIGLU)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.gate_up(x))


def fuse_feed_forwards(model: nn.Module) -> None:
    """Replaces, in place, feed-forward layers by int8 ones. The weights replaced are freed.

    Activations go where the next layer quantizes what they give.
    """
    for path, module in list(model.named_modules()):
        children = dict(module.named_children())
        if set(children) == {"gate_proj", "up_proj", "down_proj", "act_fn"} and _is_gated_silu(module):
            model.set_submodule(path, SwigluFeedForward(module))
        elif {"fc1", "fc2", "activation_fn"} <= set(children) and type(children["fc2"]) is nn.Linear:
            activation = children["activation_fn"]
            before = next(
                (step for step, function in _ACTIVATIONS.items() if are_equivalent(activation, function, 64)), None
            )
            if before is not None:
                module.fc2, module.activation_fn = NativeInt8Linear(children["fc2"], before), nn.Identity()


def _is_gated_silu(mlp: Any) -> bool:
    def computed(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = mlp.down_proj(nn.functional.silu(mlp.gate_proj(x)) * mlp.up_proj(x))
        return found

    return are_equivalent(mlp, computed, mlp.gate_proj.in_features)
