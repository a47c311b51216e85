"""The attention function that transformers' modules call for us, and its arithmetic.

It follows a plan (``layout.py``) that travels as a keyword through the model's ``forward``; the plan's ``marker``
travels as the attention mask, which modules hand on untouched because it has four dimensions.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from transformers import AttentionInterface

from worker.engine.protocol import EngineError

NAME = "lengthwise"


class AttentionCall(NamedTuple):
    """What a module asks of attention; tensors are ``[batch, heads, tokens, size]``."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    scale: float
    #: Added to the scores, ``[1, heads, queries, keys]`` (T5).
    bias: torch.Tensor | None
    #: How many positions back a token sees, itself included; ``None`` for all.
    window: int | None
    #: Scores are squeezed between −``softcap`` and ``softcap`` by a tanh, before anything is hidden (Gemma 2).
    softcap: float | None = None


class AttentionPlan(Protocol):
    """How one kind of attention runs in one forward pass."""

    marker: torch.Tensor

    def run(self, call: AttentionCall) -> torch.Tensor:
        """Gives ``[batch, tokens, heads, size]``."""
        ...


def register() -> None:
    """Makes ``attn_implementation=NAME`` known to transformers."""
    AttentionInterface.register(NAME, attend)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    position_bias: torch.Tensor | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    plans: Sequence[AttentionPlan] = (),
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface. Raises ``EngineError`` if the module kept the plan or its marker to itself."""
    plan = next((plan for plan in plans if plan.marker is attention_mask), None)
    if plan is None:
        raise EngineError(f"{type(module).__name__} does not hand attention its plan")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return plan.run(AttentionCall(query, key, value, scale, position_bias, sliding_window, softcap)), None


def attend_one_query(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    hidden: torch.Tensor,
    softcap: float | None = None,
) -> torch.Tensor:
    """Two batched products: with one query a row, torch's fused attention is six times slower on the CPU.

    ``query`` is ``[rows, heads, queries, size]``; ``hidden`` is added to the scores ``[rows, heads, queries, keys]``.
    """
    scores = torch.matmul(query * scale, key.transpose(2, 3))
    if softcap is not None:
        scores = scores.div_(softcap).tanh_().mul_(softcap)
    scores += hidden
    return torch.matmul(torch.softmax(scores, dim=-1), value)


def mask_beyond(lengths: torch.Tensor, size: int, dtype: torch.dtype, window: int | None = None) -> torch.Tensor:
    """``[rows, 1, 1, size]``: 0 for positions below each length and within its window, else the least number."""
    places = torch.arange(size, device=lengths.device)
    seen = places < lengths[:, None]
    if window is not None:
        seen &= places >= lengths[:, None] - window
    scores = torch.zeros(seen.shape, dtype=dtype, device=lengths.device)
    return scores.masked_fill_(~seen, torch.finfo(dtype).min)[:, None, None]
