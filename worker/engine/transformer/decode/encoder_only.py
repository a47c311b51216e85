"""Encoder-only models: one forward pass over a padded batch gives the scores of labels, or a vector for each text.

Classifiers (BERT, DistilBERT, RoBERTa) score labels. Embedders (BERT, MiniLM, BGE, E5) give vectors, and so do decoders
that were trained for it (Qwen3-Embedding).
"""

from collections.abc import Sequence
from typing import Any

import torch

from lengthwise.models.labels import Labels
from worker.engine.protocol import Completion, FinishReason, Request
from worker.engine.transformer.attention.plans import PaddedPlan
from worker.engine.transformer.decode.vocabulary import Vocabulary
from worker.engine.transformer.weights.pooling import VectorHead

#: Nine decimal digits identify every fp32 number, six are always exact.
_MAX_DIGITS, _MIN_DIGITS = 9, 6


def labels_of(config: Any) -> Labels:
    """A classifier's labels, in the order of the model's outputs."""
    return Labels.of({"id2label": config.id2label, "problem_type": config.problem_type})


def classify(model: Any, requests: Sequence[Request], vocabulary: Vocabulary, fits: bool) -> list[Completion]:
    """Scores the labels of each request. The requests are sorted by length.

    ``fits``: whether the model runs on our attention by a plan; otherwise it gets a plain mask.
    """
    scores = _scores(model, requests, vocabulary, fits)
    return [
        Completion(request.id, (), FinishReason.LABEL, tuple(each))
        for request, each in zip(requests, scores, strict=True)
    ]


def embed(
    model: Any, requests: Sequence[Request], vocabulary: Vocabulary, fits: bool, head: VectorHead
) -> list[Completion]:
    """Computes a vector for each request. The requests are sorted by length. ``fits``: see ``classify``."""
    vectors = decimals(_vectors(model, requests, vocabulary, fits, head))
    return [
        Completion(request.id, (), FinishReason.VECTOR, vector=tuple(vector))
        for request, vector in zip(requests, vectors, strict=True)
    ]


def _forward(model: Any, sequences: Sequence[Sequence[int]], pad: int, fits: bool) -> Any:
    """The model's output for ``sequences`` of ids, which are sorted by length. Pads them with the id ``pad``."""
    lengths = [len(tokens) for tokens in sequences]
    width = max(lengths)
    ids = [[*tokens, *[pad] * (width - len(tokens))] for tokens in sequences]
    tokens = torch.tensor(ids, device=model.device)
    if fits:
        plan = PaddedPlan(lengths)
        return model(input_ids=tokens, attention_mask=plan.marker, plans=(plan,))
    mask = torch.arange(width)[None] < torch.tensor(lengths)[:, None]
    return model(input_ids=tokens, attention_mask=mask.long().to(model.device))


@torch.inference_mode()
def _scores(model: Any, requests: Sequence[Request], vocabulary: Vocabulary, fits: bool) -> list[list[float]]:
    logits = _forward(model, [request.tokens for request in requests], vocabulary.pad, fits).logits
    # Row by row: over a whole batch, torch computes the last few numbers with a different exponential function.
    return decimals(torch.stack([_probabilities(row, model.config) for row in logits.float().cpu()]))


def _probabilities(logits: torch.Tensor, config: Any) -> torch.Tensor:
    return torch.softmax(logits, dim=-1) if labels_of(config).are_exclusive else torch.sigmoid(logits)


@torch.inference_mode()
def _vectors(
    model: Any, requests: Sequence[Request], vocabulary: Vocabulary, fits: bool, head: VectorHead
) -> torch.Tensor:
    hidden = _forward(model, [request.tokens for request in requests], vocabulary.pad, fits).last_hidden_state
    # Row by row, so that neither padding nor neighbours are part of a sum.
    rows = [head.vector(row[: len(request.tokens)]) for row, request in zip(hidden, requests, strict=True)]
    return torch.stack(rows).cpu()


def decimals(numbers: torch.Tensor) -> list[list[float]]:
    """Converts fp32 ``[rows, size]`` to doubles with short decimal forms that still round to the same fp32 numbers."""
    exact = numbers.double()
    found = exact.clone()
    magnitude = exact.abs().clamp_min(1e-30).log10().floor()
    for digits in range(_MAX_DIGITS, _MIN_DIGITS - 1, -1):
        scale = torch.pow(10.0, (digits - 1 - magnitude).clamp(0, 22))
        short = (exact * scale).round() / scale
        found = torch.where(short.float() == numbers, short, found)
    rows: list[list[float]] = found.tolist()
    return rows
