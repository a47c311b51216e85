"""Embedders (BERT, MiniLM, BGE, E5): one forward pass, a vector for each text."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from worker.engine.protocol import Completion, FinishReason, Request
from worker.engine.transformer.decode import encoder
from worker.engine.transformer.decode.vocabulary import Vocabulary
from worker.engine.transformer.weights.pooling import Pooling

#: Every fp32 number has a decimal form of at most so many digits that stands for it alone.
_MOST_DIGITS, _FEWEST_DIGITS = 9, 6


def embed(
    model: Any, requests: Sequence[Request], vocabulary: Vocabulary, fits: bool, pooling: Pooling
) -> Iterator[Completion]:
    """Embeds the requests, which are sorted by length. ``fits``: whether the model takes a plan, or a plain mask."""
    vectors = decimals(_vectors(model, requests, vocabulary, fits, pooling))
    for request, vector in zip(requests, vectors, strict=True):
        yield Completion(request.id, (), FinishReason.VECTOR, vector=tuple(vector))


@torch.inference_mode()
def _vectors(
    model: Any, requests: Sequence[Request], vocabulary: Vocabulary, fits: bool, pooling: Pooling
) -> torch.Tensor:
    hidden = encoder.read(model, [request.tokens for request in requests], vocabulary.pad, fits).last_hidden_state
    # Row by row: the padding is no part of a sum, nor are its neighbours.
    rows = [pooling.pooled(row[: len(request.tokens)]) for row, request in zip(hidden, requests, strict=True)]
    return torch.stack(rows).cpu()


def decimals(numbers: torch.Tensor) -> list[list[float]]:
    """fp32 ``[rows, size]`` as doubles whose decimal forms are short, and yet round to the same fp32 numbers."""
    exact = numbers.double()
    found = exact.clone()
    magnitude = exact.abs().clamp_min(1e-30).log10().floor()
    for digits in range(_MOST_DIGITS, _FEWEST_DIGITS - 1, -1):
        scale = torch.pow(10.0, (digits - 1 - magnitude).clamp(0, 22))
        short = (exact * scale).round() / scale
        found = torch.where(short.float() == numbers, short, found)
    rows: list[list[float]] = found.tolist()
    return rows
