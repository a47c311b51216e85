"""On a GPU: scores are as near to transformers' in fp32 as its own in bfloat16 are, launched, recorded or replayed."""

from collections.abc import Sequence
from copy import deepcopy
from statistics import mean
from typing import Any

import pytest
import torch

from tests.engine import tiny
from tests.engine.conftest import Written
from worker.engine.transformer.engine import TorchEngine

DEVICE = "cuda"
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

#: What other sums in another order may add to bfloat16's error, by factor; and what a wrong one is far above.
_MORE, _LITTLE = 1.3, 0.02
#: More than there is room for at the beginning; rows leave at one, others are looked at.
_STEPS, _LEAVE, _SEEN = 140, 40, {0, 1, 2, 3, 5, 40, 41, 42, 43, 60, 100, 134, 139}


class Compared:
    """Ours beside transformers' own model in both precisions; errors are of the scores' length."""

    def __init__(self, kind: str, written: Written) -> None:
        model, folder = written(kind)
        self.exact = deepcopy(model).to(DEVICE)
        self.rough = deepcopy(model).to(DEVICE, torch.bfloat16)
        self.engine = TorchEngine.load(tiny.spec(folder, "bf16").model_copy(update={"device": DEVICE}))
        self.ours: list[float] = []
        self.theirs: list[float] = []

    def see(self, found: torch.Tensor, inputs: dict[str, Sequence[int]]) -> None:
        """``found``: our scores of the token after these inputs."""
        arguments = {name: torch.tensor([ids], device=DEVICE) for name, ids in inputs.items()}
        expected, rough = (model(**arguments).logits[0, -1].float() for model in (self.exact, self.rough))
        self.ours.append(_apart(found, expected))
        self.theirs.append(_apart(rough, expected))

    def hold(self, is_recorded: bool) -> None:
        capture = self.engine._capture
        assert capture is None or capture.can_capture == is_recorded
        assert mean(self.ours) < _MORE * mean(self.theirs) + _LITTLE


def _apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.float() - expected).norm() / expected.norm())


@pytest.mark.parametrize("kind", tiny.DECODERS)
@torch.inference_mode()
def test_every_step_of_a_decoder_gives_the_scores_of_transformers(kind: str, written: Written) -> None:
    compared = Compared(kind, written)
    lengths = enumerate([4, 9, 60, 70])
    sequences = [[3 + row, *(3 + (7 * row + 5 * place) % 100 for place in range(length))] for row, length in lengths]
    stepper: Any = compared.engine.stepper(sequences)
    found = stepper.start()
    for step in range(_STEPS):
        if step in _SEEN:
            for scores, sequence in zip(found, sequences, strict=True):
                compared.see(scores, {"input_ids": sequence})
        if step == _LEAVE:
            stepper.keep([1, 3])
            sequences = [sequences[1], sequences[3]]
        tokens = [step % 50 + 5 + row for row in range(len(sequences))]
        for sequence, token in zip(sequences, tokens, strict=True):
            sequence.append(token)
        found = stepper.step(torch.tensor(tokens, device=DEVICE))
    compared.hold(kind not in tiny.NOT_RECORDED)


@pytest.mark.parametrize("kind", tiny.ENCODER_DECODERS)
@torch.inference_mode()
def test_every_step_of_an_encoder_decoder_gives_the_scores_of_transformers(kind: str, written: Written) -> None:
    compared = Compared(kind, written)
    sources = [[5 + row, *range(9, 9 + length), 2] for row, length in enumerate([2, 6, 30, 70])]
    stepper: Any = compared.engine.stepper(sources)
    targets = [[compared.engine.vocabulary.start] for _ in sources]
    found = stepper.start()
    for step in range(40):
        for scores, source, target in zip(found, sources, targets, strict=True):
            compared.see(scores, {"input_ids": source, "decoder_input_ids": target})
        if step == 20:
            stepper.keep([1, 3])
            sources, targets = ([it[1], it[3]] for it in (sources, targets))
        tokens = [step % 50 + 5 + row for row in range(len(sources))]
        for target, token in zip(targets, tokens, strict=True):
            target.append(token)
        found = stepper.step(torch.tensor(tokens, device=DEVICE))
    compared.hold(kind not in tiny.NOT_RECORDED)
