"""Rotary embeddings in one pass: transformers' own take a dozen tensors for each layer's queries and keys."""

import inspect
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import nn

from worker.engine.transformer.native.library import serves
from worker.engine.transformer.native.tokens import rotated

#: What the modules of transformers call the function.
_NAME = "apply_rotary_pos_emb"
_TOLERANCE = 1e-5
_SIZE = 32

_Turn = Callable[..., tuple[torch.Tensor, torch.Tensor]]


def fuse_rotary_embeddings(model: nn.Module) -> None:
    """Gives each attention module that turns its heads as ``rotated`` does a ``forward`` that has it done there."""
    rebound: dict[Any, FunctionType] = {}
    for module in model.modules():
        forward = inspect.unwrap(type(module).forward)
        turn = forward.__globals__.get(_NAME)
        if turn is not None and _NAME in forward.__code__.co_names and _is_rotation(turn):
            if forward not in rebound:
                rebound[forward] = _rebound(forward, turn)
            module.forward = MethodType(rebound[forward], module)


def _rebound(forward: Any, turn: _Turn) -> FunctionType:
    """The same function, for which the name means ours."""
    names = {**forward.__globals__, _NAME: _ours(turn)}
    made = FunctionType(forward.__code__, names, forward.__name__, forward.__defaults__, forward.__closure__)
    made.__kwdefaults__ = forward.__kwdefaults__
    return made


def _ours(theirs: _Turn) -> _Turn:
    def turned(
        q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *others: Any, **named: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``q`` and ``k`` ``[1, heads, tokens, size]``, ``cos`` and ``sin`` ``[1, tokens, size]``."""
        is_plain = not others and not named and q.shape[0] == k.shape[0] == 1 and cos.shape == (1, *q.shape[2:])
        if not (is_plain and serves(q) and q.stride(3) == k.stride(3) == 1 and cos.is_contiguous()):
            return theirs(q, k, cos, sin, *others, **named)
        turned_q, turned_k = (rotated(x[0].transpose(0, 1), cos, sin).transpose(0, 1)[None] for x in (q, k))
        return turned_q, turned_k

    return turned


@torch.inference_mode()
def _is_rotation(turn: _Turn) -> bool:
    """Whether it answers a sample as ours does, angles beyond a circle's half and all."""
    random = torch.Generator().manual_seed(0)
    q, k = torch.randn(1, 4, 3, _SIZE, generator=random), torch.randn(1, 2, 3, _SIZE, generator=random)
    cos, sin = torch.randn(2, 1, 3, _SIZE, generator=random)
    try:
        pairs = zip(_ours(turn)(q, k, cos, sin), turn(q, k, cos, sin), strict=True)
        return all(torch.allclose(found, expected, rtol=0, atol=_TOLERANCE) for found, expected in pairs)
    except (TypeError, ValueError, RuntimeError):
        return False
