"""Sequence classifiers (BERT, DistilBERT, RoBERTa): one forward pass returns a probability for each label."""

from collections.abc import Sequence
from typing import Any

import torch

from worker.engine.protocol import Completion, FinishReason, Request
from worker.engine.transformer.decode import encoder
from worker.engine.transformer.decode.vocabulary import Vocabulary


def labels(config: Any) -> tuple[str, ...]:
    """The labels in the order of the model's outputs."""
    return tuple(str(label) for _, label in sorted(config.id2label.items()))


def classify(model: Any, requests: Sequence[Request], vocabulary: Vocabulary, fits: bool) -> list[Completion]:
    """Scores requests that are sorted by length. ``fits``: whether the model takes our plan instead of a plain mask."""
    scores = _scores(model, requests, vocabulary, fits)
    return [
        Completion(request.id, (), FinishReason.LABEL, tuple(each))
        for request, each in zip(requests, scores, strict=True)
    ]


@torch.inference_mode()
def _scores(model: Any, requests: Sequence[Request], vocabulary: Vocabulary, fits: bool) -> list[list[float]]:
    logits = encoder.read(model, [request.tokens for request in requests], vocabulary.pad, fits).logits
    # Row by row: over a whole batch, torch computes the last few numbers with a different exponential function.
    return [_probabilities(row, model.config).tolist() for row in logits.float().cpu()]


def _probabilities(logits: torch.Tensor, config: Any) -> torch.Tensor:
    # The softmax of a single label would always be 1.
    if config.problem_type == "multi_label_classification" or config.num_labels == 1:
        return torch.sigmoid(logits)
    return torch.softmax(logits, dim=-1)
