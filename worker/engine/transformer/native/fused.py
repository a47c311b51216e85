"""Norms and feed-forward layers of transformers, replaced by modules that run as one C kernel each."""

from typing import Any

import torch
from torch import nn

from worker.engine.transformer.layers.fused_projections import concatenated_linear
from worker.engine.transformer.layers.replacement import HooklessModule, are_equivalent
from worker.engine.transformer.native.library import kernels
from worker.engine.transformer.native.linear import InputActivation, NativeInt8Linear

_ACTIVATIONS = {InputActivation.RELU: nn.functional.relu, InputActivation.SILU: nn.functional.silu}


class RmsNorm(HooklessModule):
    """Divides each fp32 vector by its root mean square and multiplies by ``weight``: ``[..., size] → [..., size]``."""

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
    """Centres each fp32 vector, divides by its standard deviation, times ``weight`` plus ``bias``, shape unchanged."""

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
    """A SwiGLU feed-forward layer (Llama; arXiv:2002.05202) in int8: ``down(SiLU(gate(x)) · up(x))``.

    The activation runs inside the kernel of ``down``, while that quantizes its input.
    """

    def __init__(self, mlp: Any) -> None:
        super().__init__()
        gate, up, down = mlp.gate_proj, mlp.up_proj, mlp.down_proj
        self.gate_up = NativeInt8Linear(concatenated_linear([gate, up]))
        self.down = NativeInt8Linear(down, InputActivation.SWIGLU)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(self.gate_up(x))


def fuse_feed_forwards(model: nn.Module) -> None:
    """Replaces the feed-forward layers of ``model`` by int8 ones, in place; the old weights are freed.

    An activation between two layers moves into the second one, which applies it while it quantizes its input.
    """
    for path, module in list(model.named_modules()):
        children = dict(module.named_children())
        if set(children) == {"gate_proj", "up_proj", "down_proj", "act_fn"} and _is_swiglu(module):
            model.set_submodule(path, SwigluFeedForward(module))
        elif {"fc1", "fc2", "activation_fn"} <= set(children) and type(children["fc2"]) is nn.Linear:
            theirs = children["activation_fn"]
            own = next((kind for kind, function in _ACTIVATIONS.items() if are_equivalent(theirs, function, 64)), None)
            if own is not None:
                module.fc2, module.activation_fn = NativeInt8Linear(children["fc2"], own), nn.Identity()


def _is_swiglu(mlp: Any) -> bool:
    """Whether the module gives what SwiGLU of its three layers gives for a sample."""

    def computed(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = mlp.down_proj(nn.functional.silu(mlp.gate_proj(x)) * mlp.up_proj(x))
        return found

    return are_equivalent(mlp, computed, mlp.gate_proj.in_features)
