"""Compares two models, by teacher forcing (would one write, token by token, what the other wrote?) or by vectors."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from worker.engine.protocol import Architecture, Completion, FinishReason, Request
from worker.engine.transformer.decode.sampling import suppress
from worker.engine.transformer.engine import TorchEngine

#: Vectors that are compared with all others at a time.
_STRIDE = 1024


class TokenAgreement(NamedTuple):
    """Of the ``total`` tokens that one model wrote, the number for which the other would have written the same."""

    same: int
    total: int


class VectorAgreement(NamedTuple):
    """How near the vectors of ``total`` texts are, and for how many texts the nearest other one is the same.

    With fewer than two texts there are no neighbours, and ``total`` is 0.
    """

    mean_cosine: float
    least_cosine: float
    same_neighbours: int
    total: int


class _ForcedRow(NamedTuple):
    read: Sequence[int]
    #: The written ids, with the end token. No model chose the first ``n_forced``: the request's prefix did.
    written: list[int]
    n_forced: int


@torch.inference_mode()
def teacher_forced_agreement(
    engine: TorchEngine, requests: Sequence[Request], answers: Sequence[Completion]
) -> TokenAgreement:
    """Feeds the other model's ``answers`` to ``engine``, and counts how often it would choose the same next token.

    Runs one batch. Comparing the answers themselves would count every token after a first difference as different; this
    does not. The engine's model must run on our own attention (``fits``).
    """
    rows = [_row(engine, request, answer) for request, answer in zip(requests, answers, strict=True)]
    live = sorted((row for row in rows if row.written), key=lambda row: len(row.read))
    if not live:
        return TokenAgreement(0, 0)
    stepper = engine.stepper([row.read for row in live])
    scores, step, same, total = stepper.start(), 0, 0, 0
    while True:
        suppress(scores, engine.vocabulary)
        chosen = scores.argmax(dim=1).tolist()
        judged = [(row.written[step], token) for row, token in zip(live, chosen, strict=True) if step >= row.n_forced]
        same += sum(_is_same(engine, expected, token) for expected, token in judged)
        total += len(judged)
        staying = [place for place, row in enumerate(live) if step + 1 < len(row.written)]
        if not staying:
            return TokenAgreement(same, total)
        if len(staying) < len(live):
            stepper.keep(staying)
            live = [live[place] for place in staying]
        scores = stepper.step(torch.tensor([row.written[step] for row in live], device=scores.device))
        step += 1


def vector_agreement(before: Sequence[Sequence[float]], after: Sequence[Sequence[float]]) -> VectorAgreement:
    """Compares two embedders' vectors, of one text at each place. Needs memory for a few thousand cosines a text."""
    old, new = (torch.nn.functional.normalize(torch.tensor(each)) for each in (before, after))
    cosines = (old * new).sum(dim=1)
    same, total = 0, len(old) if len(old) > 1 else 0
    for start in range(0, total, _STRIDE):
        same += int((_nearest(old, start) == _nearest(new, start)).sum())
    return VectorAgreement(float(cosines.mean()), float(cosines.min()), same, total)


def _nearest(vectors: torch.Tensor, start: int) -> torch.Tensor:
    """For each vector of one stride, the place of the nearest other one. The vectors have length 1."""
    cosines = vectors[start : start + _STRIDE] @ vectors.T
    rows = torch.arange(len(cosines))
    cosines[rows, rows + start] = -2
    return cosines.argmax(dim=1)


def _row(engine: TorchEngine, request: Request, answer: Completion) -> _ForcedRow:
    is_pair = engine.capabilities().architecture is Architecture.ENCODER_DECODER
    before = list(request.decoder_prefix) if is_pair else []
    end = [min(engine.vocabulary.ends)] if answer.finish_reason is FinishReason.STOP and not request.stop else []
    written = [*answer.tokens, *end]
    return _ForcedRow(engine.input_tokens(request), before + written if written else [], len(before))


def _is_same(engine: TorchEngine, expected: int, token: int) -> bool:
    ends = engine.vocabulary.ends
    return token in ends if expected in ends else token == expected
