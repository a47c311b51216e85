"""Shorter ways through transformers' modules: between the kernels of a step, looking things up is most of the time.

What they compute, and in what order, stays theirs.
"""

import inspect
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from worker.engine.transformer.layers.replacement import HooklessModule


def bypass_call_overhead(model: nn.Module) -> None:
    """In place, once nothing is replaced any more: modules hold their parts as attributes, and are called without a
    look at hooks, gradient checkpointing and former names of arguments, none of which the engine uses.
    """
    kinds: dict[Any, type[nn.Module]] = {}
    for module in model.modules():
        vars(module).update(module._modules)
        if isinstance(module, HooklessModule | PreTrainedModel):
            continue
        forward = inspect.unwrap(getattr(vars(module).get("forward"), "__func__", type(module).forward))
        if (asked := (type(module), forward)) not in kinds:
            kinds[asked] = type(type(module).__name__, (type(module),), {})
            # Set afterwards: transformers wraps what a class of its own layers brings along.
            kinds[asked].__call__ = kinds[asked].forward = forward  # type: ignore[method-assign]
        vars(module).pop("forward", None)
        module.__class__ = kinds[asked]
