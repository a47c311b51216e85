"""The moderation model: its shape, its training examples, and its answers for evaluation."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import torch
from tokenizers import Tokenizer
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from training.batch import bucketed, padded
from training.comment import LABELS, held_out_comments, training_comments
from training.tokenizer import PAD, token_id, train_moderate

MODEL_CLASS = DistilBertForSequenceClassification
STEPS = 2000
VOCABULARY = 2000
#: Positions of the model, and the length of the longest training example.
CONTEXT = 512
#: Tokens per training step, padding included.
BUDGET = 2400
TOKENIZER_COMMENTS = 15_000
THRESHOLD = 0.5


class ModerationExample(NamedTuple):
    ids: list[int]
    labels: list[float]


def make_tokenizer(seed: int) -> Tokenizer:
    return train_moderate((comment.text for comment in islice(training_comments(seed), TOKENIZER_COMMENTS)), VOCABULARY)


def make_model(tokenizer: Tokenizer) -> Any:
    config = DistilBertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=CONTEXT,
        dim=128,
        n_layers=2,
        n_heads=4,
        hidden_dim=512,
        dropout=0.0,
        attention_dropout=0.0,
        seq_classif_dropout=0.0,
        pad_token_id=token_id(tokenizer, PAD),
        problem_type="multi_label_classification",
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
        architectures=[MODEL_CLASS.__name__],
    )
    return MODEL_CLASS(config)


def _examples(tokenizer: Tokenizer, seed: int) -> Iterator[ModerationExample]:
    for comment in training_comments(seed):
        ids = tokenizer.encode(comment.text).ids
        if len(ids) <= CONTEXT:
            yield ModerationExample(ids, [float(label in comment.labels) for label in LABELS])


def batches(tokenizer: Tokenizer, seed: int) -> Iterator[list[ModerationExample]]:
    return bucketed(_examples(tokenizer, seed), lambda one: len(one.ids), BUDGET, seed)


def _logits(model: Any, tokenizer: Tokenizer, rows: list[list[int]]) -> torch.Tensor:
    pad = token_id(tokenizer, PAD)
    ids = padded(rows, pad)
    logits: torch.Tensor = model(input_ids=ids, attention_mask=(ids != pad).long()).logits
    return logits


def loss(model: Any, tokenizer: Tokenizer, examples: list[ModerationExample]) -> torch.Tensor:
    """Returns the mean binary cross-entropy of the labels, a scalar."""
    logits = _logits(model, tokenizer, [example.ids for example in examples])
    wanted = torch.tensor([example.labels for example in examples])
    return torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), wanted)


@torch.inference_mode()
def classify(model: Any, tokenizer: Tokenizer, texts: list[str], rows: int = 64) -> list[frozenset[str]]:
    """Returns, for each text, the labels whose score is at or above the threshold."""
    ids = [tokenizer.encode(text).ids for text in texts]
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    found: list[frozenset[str]] = [frozenset()] * len(ids)
    for start in range(0, len(order), rows):
        chosen = order[start : start + rows]
        scores = _logits(model, tokenizer, [ids[index] for index in chosen]).sigmoid().tolist()
        for index, row in zip(chosen, scores, strict=True):
            found[index] = frozenset(label for label, p in zip(LABELS, row, strict=True) if p >= THRESHOLD)
    return found


def accuracy(model: Any, tokenizer: Tokenizer, samples: int, seed: int) -> dict[str, float]:
    """Returns the share of ``samples`` held-out comments whose whole set of labels is right."""
    comments = held_out_comments(seed, samples)
    answers = classify(model, tokenizer, [comment.text for comment in comments])
    right = sum(answer == comment.labels for answer, comment in zip(answers, comments, strict=True))
    return {"moderate": right / samples}
