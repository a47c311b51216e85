"""Weights that are no numbers: a model with one of them answers, and every answer is wrong."""

from collections.abc import Mapping

import torch

from lengthwise.models.published.naming import said
from worker.engine.protocol import EngineError


def refuse_infinite(state: Mapping[str, torch.Tensor]) -> None:
    """Raises ``EngineError``, which names the first tensor with a NaN or an infinite value."""
    for name, tensor in state.items():
        # Of the types with one byte torch cannot tell, and most have no such values.
        if tensor.is_floating_point() and tensor.itemsize > 1 and not bool(torch.isfinite(tensor).all()):
            raise EngineError(
                f"its weights are damaged ({said(name)} has values that are NaN or infinite): fetch or copy them "
                "again, or take another copy of the model"
            )
