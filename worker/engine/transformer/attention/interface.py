"""The attention function that we register with transformers, and the arithmetic it falls back to.

A forward pass gets its plans (``plans.py``) as a keyword argument, which transformers' modules pass on to attention.
A plan's ``marker`` is passed as the attention mask: modules pass a mask of four dimensions on unchanged, and the marker
tells attention which plan applies.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from transformers import AttentionInterface

from worker.engine.protocol import EngineError

NAME = "lengthwise"


class AttentionCall(NamedTuple):
    """The arguments of one attention call. ``query`` is ``[batch, heads, tokens, size]``."""

    query: torch.Tensor
    #: As the module computed them, or as its KV cache keeps them.
    key: torch.Tensor
    value: torch.Tensor
    scale: float
    #: T5's position bias, added to the scores: ``[1, heads, queries, keys]``.
    bias: torch.Tensor | None
    #: Sliding window: how many positions a token sees, counted back from itself; ``None`` for all.
    window: int | None
    #: Scores become ``softcap * tanh(score / softcap)`` before the mask applies (Gemma 2); ``None`` leaves them.
    softcap: float | None = None


class AttentionPlan(Protocol):
    """How one kind of attention runs in one forward pass: which tokens see which."""

    marker: torch.Tensor

    def run(self, call: AttentionCall) -> torch.Tensor:
        """Returns ``[batch, tokens, heads, size]``."""
        ...


def register() -> None:
    """Registers ``attend`` with transformers, as ``attn_implementation=NAME``."""
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
    """transformers' attention interface: runs the plan whose marker came as the mask.

    Returns ``[batch, tokens, heads, size]``, and ``None`` for the weights. Raises ``EngineError`` if the module did not
    pass on the plans or the marker.
    """
    plan = next((plan for plan in plans if plan.marker is attention_mask), None)
    if plan is None:
        raise EngineError(f"{type(module).__name__} does not pass its plan on to attention")
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
    """Attention as two batched products: for one query per row, torch's fused kernel is six times slower on a CPU.

    ``query`` is ``[rows, heads, queries, size]``; ``hidden``, the mask, is added to the scores
    ``[rows, heads, queries, keys]``.
    """
    scores = torch.matmul(query * scale, key.transpose(2, 3))
    if softcap is not None:
        scores = scores.div_(softcap).tanh_().mul_(softcap)
    scores += hidden
    return torch.matmul(torch.softmax(scores, dim=-1), value)


def mask_beyond(lengths: torch.Tensor, size: int, dtype: torch.dtype, window: int | None = None) -> torch.Tensor:
    """The mask of rows of these lengths, ``[rows, 1, 1, size]``: 0 where a position is seen, else the least number.

    The last token of a row sees the positions below its length, or the last ``window`` of them.
    """
    places = torch.arange(size, device=lengths.device)
    seen = places < lengths[:, None]
    if window is not None:
        seen &= places >= lengths[:, None] - window
    scores = torch.zeros(seen.shape, dtype=dtype, device=lengths.device)
    return scores.masked_fill_(~seen, torch.finfo(dtype).min)[:, None, None]
