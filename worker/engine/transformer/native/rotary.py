"""Replaces transformers' rotary position embedding (RoPE, arXiv:2104.09864) by one C kernel call.

transformers' own builds a dozen tensors for the queries and keys of each layer.
"""

import inspect
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import nn

from worker.engine.transformer.native.library import serves
from worker.engine.transformer.native.tokens import rotated

#: The name of the function that transformers' attention modules call.
_NAME = "apply_rotary_pos_emb"
_TOLERANCE = 1e-5
_SIZE = 32

_Rotation = Callable[..., tuple[torch.Tensor, torch.Tensor]]


def fuse_rotary_embeddings(model: nn.Module) -> None:
    """Gives each attention module of ``model`` a ``forward`` that rotates heads by our kernel, in place.

    A module whose own function does not give what ours gives for a sample is left alone.
    """
    rebound: dict[Any, FunctionType] = {}
    for module in model.modules():
        forward = inspect.unwrap(type(module).forward)
        rotate = forward.__globals__.get(_NAME)
        if rotate is not None and _NAME in forward.__code__.co_names and _is_standard(rotate):
            if forward not in rebound:
                rebound[forward] = _rebound(forward, rotate)
            module.forward = MethodType(rebound[forward], module)


def _rebound(forward: Any, rotate: _Rotation) -> FunctionType:
    """A copy of ``forward`` in whose globals ``_NAME`` is our function, with ``rotate`` as its fallback."""
    names = {**forward.__globals__, _NAME: _native(rotate)}
    made = FunctionType(forward.__code__, names, forward.__name__, forward.__defaults__, forward.__closure__)
    made.__kwdefaults__ = forward.__kwdefaults__
    return made


def _native(fallback: _Rotation) -> _Rotation:
    """Our function; calls ``fallback`` for whatever the kernel does not take."""

    def rotate(
        q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *others: Any, **named: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``q`` and ``k`` ``[1, heads, tokens, size]``, ``cos`` and ``sin`` ``[1, tokens, size]``."""
        is_plain = not others and not named and q.shape[0] == k.shape[0] == 1 and cos.shape == (1, *q.shape[2:])
        if not (is_plain and serves(q) and q.stride(3) == k.stride(3) == 1 and cos.is_contiguous()):
            return fallback(q, k, cos, sin, *others, **named)
        rotated_q, rotated_k = (rotated(x[0].transpose(0, 1), cos, sin).transpose(0, 1)[None] for x in (q, k))
        return rotated_q, rotated_k

    return rotate


@torch.inference_mode()
def _is_standard(rotate: _Rotation) -> bool:
    """Whether ``rotate`` gives what our kernel gives for a sample in which the halves of ``cos`` and ``sin`` differ."""
    random = torch.Generator().manual_seed(0)
    q, k = torch.randn(1, 4, 3, _SIZE, generator=random), torch.randn(1, 2, 3, _SIZE, generator=random)
    cos, sin = torch.randn(2, 1, 3, _SIZE, generator=random)
    try:
        pairs = zip(_native(rotate)(q, k, cos, sin), rotate(q, k, cos, sin), strict=True)
        return all(torch.allclose(found, expected, rtol=0, atol=_TOLERANCE) for found, expected in pairs)
    except (TypeError, ValueError, RuntimeError):
        return False
