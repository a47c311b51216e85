"""Muon for the matrices inside the network, AdamW for embeddings, biases and norms; both follow one schedule.

Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon) makes each update orthogonal, so every direction
of a matrix advances equally. That is worth its cost here, because there are few steps.
"""

import torch

MUON_RATE, ADAM_RATE = 0.02, 3e-3
WARMUP_STEPS = 60
#: The last share of the steps, in which the learning rate falls linearly to zero.
DECAY_SHARE = 0.8


def rate(step: int, steps: int) -> float:
    """Returns the factor on both learning rates at ``step`` of ``steps``: warm-up, plateau, linear decay to zero."""
    return min((step + 1) / WARMUP_STEPS, 1.0, (steps - step) / (steps * DECAY_SHARE))


class Optimizer:
    def __init__(self, model: torch.nn.Module) -> None:
        named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
        embeddings = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
        inner = [value for _, value in named if value.ndim == 2 and id(value) not in embeddings]
        outer = [value for _, value in named if value.ndim != 2 or id(value) in embeddings]
        self._parts: list[tuple[torch.optim.Optimizer, float]] = [
            (torch.optim.Muon(inner, lr=MUON_RATE, momentum=0.95, weight_decay=0.01), MUON_RATE),
            (torch.optim.AdamW(outer, lr=ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0), ADAM_RATE),
        ]
        self._parameters = [value for _, value in named]

    def step(self, factor: float) -> None:
        """Updates the weights at ``factor`` times the learning rates, then clears the gradients."""
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        for optimizer, peak in self._parts:
            for group in optimizer.param_groups:
                group["lr"] = peak * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
