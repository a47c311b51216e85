"""Whether a model would have written, token for token, what another one wrote (teacher forcing)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from worker.engine.protocol import Architecture, Completion, FinishReason, Request
from worker.engine.transformer.decode.sampling import suppress
from worker.engine.transformer.engine import TorchEngine


class TokenAgreement(NamedTuple):
    """Tokens that both models would have written next, of all that one of them wrote."""

    same: int
    total: int


class _Row(NamedTuple):
    read: Sequence[int]
    #: What was written, the end included; the first ``n_forced`` no model chose.
    written: list[int]
    n_forced: int


@torch.inference_mode()
def teacher_forced_agreement(
    engine: TorchEngine, requests: Sequence[Request], answers: Sequence[Completion]
) -> TokenAgreement:
    """Runs one batch: after each token of the other model's ``answers``, whether ``engine`` would choose the next.

    Unlike the answers themselves, this does not count everything behind a first difference as different. Only for
    engines that fit their model.
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


def _row(engine: TorchEngine, request: Request, answer: Completion) -> _Row:
    is_pair = engine.capabilities().architecture is Architecture.ENCODER_DECODER
    before = list(request.decoder_prefix) if is_pair else []
    end = [min(engine.vocabulary.ends)] if answer.finish_reason is FinishReason.STOP and not request.stop else []
    written = [*answer.tokens, *end]
    return _Row(engine.read_first(request), before + written if written else [], len(before))


def _is_same(engine: TorchEngine, expected: int, token: int) -> bool:
    ends = engine.vocabulary.ends
    return token in ends if expected in ends else token == expected
