"""Pools the vectors of a text's tokens into one vector."""

import torch

from lengthwise.models.pooling import Pooling


def pooled(hidden: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """Pools one text's vectors: ``[tokens, size]`` → ``[size]``, fp32."""
    vector = hidden[0].float() if pooling.mode == "cls" else hidden.float().mean(dim=0)
    return torch.nn.functional.normalize(vector, dim=0) if pooling.normalizes else vector
