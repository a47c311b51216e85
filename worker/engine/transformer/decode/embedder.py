"""Embedders (BERT, MiniLM, BGE, E5): one forward pass returns a vector for each text."""

from collections.abc import Sequence
from typing import Any

import torch

from worker.engine.protocol import Completion, FinishReason, Request
from worker.engine.transformer.decode import encoder
from worker.engine.transformer.decode.vocabulary import Vocabulary
from worker.engine.transformer.weights.pooling import Pooling

#: Nine decimal digits identify every fp32 number, six are always exact.
_MAX_DIGITS, _MIN_DIGITS = 9, 6


def embed(
    model: Any, requests: Sequence[Request], vocabulary: Vocabulary, fits: bool, pooling: Pooling
) -> list[Completion]:
    """Embeds requests that are sorted by length. ``fits``: whether the model takes our plan instead of a plain mask."""
    vectors = decimals(_vectors(model, requests, vocabulary, fits, pooling))
    return [
        Completion(request.id, (), FinishReason.VECTOR, vector=tuple(vector))
        for request, vector in zip(requests, vectors, strict=True)
    ]


@torch.inference_mode()
def _vectors(
    model: Any, requests: Sequence[Request], vocabulary: Vocabulary, fits: bool, pooling: Pooling
) -> torch.Tensor:
    hidden = encoder.read(model, [request.tokens for request in requests], vocabulary.pad, fits).last_hidden_state
    # Row by row, so that neither padding nor neighbours are part of a sum.
    rows = [pooling.pooled(row[: len(request.tokens)]) for row, request in zip(hidden, requests, strict=True)]
    return torch.stack(rows).cpu()


def decimals(numbers: torch.Tensor) -> list[list[float]]:
    """Turns fp32 ``[rows, size]`` into doubles with short decimal forms that round to the same fp32 numbers."""
    exact = numbers.double()
    found = exact.clone()
    magnitude = exact.abs().clamp_min(1e-30).log10().floor()
    for digits in range(_MAX_DIGITS, _MIN_DIGITS - 1, -1):
        scale = torch.pow(10.0, (digits - 1 - magnitude).clamp(0, 22))
        short = (exact * scale).round() / scale
        found = torch.where(short.float() == numbers, short, found)
    rows: list[list[float]] = found.tolist()
    return rows
