"""What all replaced modules share: their base class, the test that they compute the same, and the last step after them.

Knows nothing of linear layers, norms or attention.
"""

import inspect
import re
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

#: The default tolerance, relative to the largest value: sums in another order round differently by less.
TOLERANCE = 1e-5


class WeightType:
    """The ``weight`` of layers that keep theirs in another form.

    Mamba's modules convert their input to its type. All else that modules might do with it fails.
    """

    dtype = torch.float32


_ROWS = 3


class HooklessModule(nn.Module):
    """A module that runs ``forward`` without torch's look-up of hooks, and so supports none.

    A batch calls its layers thousands of times, and the look-up costs more than a small layer's Python code.
    """

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward(x)  # type: ignore[no-any-return] # every subclass defines it


@torch.inference_mode()
def are_equivalent(
    one: Callable[[torch.Tensor], torch.Tensor], other: Callable[[torch.Tensor], torch.Tensor], size: int
) -> bool:
    """Whether both functions give the same for three random fp32 vectors ``[3, size]``, within ``TOLERANCE``."""
    sample = torch.randn(_ROWS, size, generator=torch.Generator().manual_seed(0))
    return is_close(other(sample), one(sample), TOLERANCE)


def is_close(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> bool:
    """Whether no difference exceeds ``tolerance`` × the largest expected value. False if either holds a NaN."""
    return bool((found - expected).abs().max() <= tolerance * expected.abs().max())


def may_replace(model: nn.Module, path: str) -> bool:
    """Whether the layer at ``path`` may be replaced: not if its family's code computes with such a layer's weights.

    Mamba's, RWKV's and DeBERTa's does. Code that asks for the weights' type, or gives them first values, does no harm.
    """
    parent, _, name = path.rpartition(".")
    used = rf"(?<!isinstance\(self)(?<!module)\.{re.escape(name)}\.weight\b(?!\.dtype)"
    return re.search(used, _source(type(model.get_submodule(parent)).__module__)) is None


@cache
def _source(module: str) -> str:
    try:
        return inspect.getsource(sys.modules[module])
    except OSError:  # a module that no file defines
        return ""


def bypass_call_overhead(model: nn.Module) -> None:
    """Changes the modules of ``model`` in place so that Python spends less time between the kernels of a step.

    Submodules become plain attributes, and a call goes straight to ``forward``, past hooks, gradient checkpointing and
    renamed arguments, none of which the engine uses. What is computed, and in which order, stays the same. No module
    may be replaced afterwards: the attributes would still hold the old ones.
    """
    kinds: dict[Any, type[nn.Module]] = {}
    for module in model.modules():
        vars(module).update(module._modules)
        if isinstance(module, HooklessModule | PreTrainedModel):
            continue
        forward = inspect.unwrap(getattr(vars(module).get("forward"), "__func__", type(module).forward))
        if (key := (type(module), forward)) not in kinds:
            kinds[key] = type(type(module).__name__, (type(module),), {})
            # Not in the class's body: transformers wraps a ``forward`` that a subclass of its layers defines there.
            kinds[key].__call__ = kinds[key].forward = forward  # type: ignore[method-assign]
        vars(module).pop("forward", None)
        module.__class__ = kinds[key]
