"""Root-mean-square norms of transformers, several passes each, replaced by torch's own, which is one on a GPU."""

from copy import deepcopy

import torch
from torch import nn

from worker.engine.direct import Direct

#: Relative to the largest value: what rounding may make of sums in another order.
_TOLERANCE = 1e-5


class FusedRmsNorm(Direct):
    """``[..., size] → [..., size]``: each vector over its root mean square, times ``weight``."""

    def __init__(self, weight: torch.Tensor, epsilon: float) -> None:
        super().__init__()
        self.weight, self.epsilon = nn.Parameter(weight.detach(), requires_grad=False), epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.rms_norm(x, self.weight.shape, self.weight, self.epsilon)


@torch.inference_mode()
def fuse_norms(model: nn.Module) -> None:
    """In place, what is such a norm by what it makes of a sample."""
    for path, module in list(model.named_modules()):
        epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
        weight = getattr(module, "weight", None)
        if isinstance(epsilon, float) and isinstance(weight, torch.Tensor) and weight.ndim == 1:
            sample = torch.randn(3, *weight.shape, generator=torch.Generator().manual_seed(0))
            expected = deepcopy(module).float()(sample)
            # Gemma's weights are what is added to 1.
            for norm in (FusedRmsNorm(weight, epsilon), FusedRmsNorm(1 + weight, epsilon)):
                found = nn.functional.rms_norm(sample, weight.shape, norm.weight.float(), epsilon)
                if (found - expected).abs().max() <= _TOLERANCE * expected.abs().max():
                    model.set_submodule(path, norm)
                    break
