"""On a GPU, our bfloat16 scores are as close to fp32 as transformers' own, with and without CUDA graphs."""

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

#: Our error may be this factor of transformers' bfloat16 error, because our sums have another order, plus a little. A
#: wrong sum is far above that.
_MORE, _LITTLE = 1.3, 0.02
#: Steps, more than the first graph has memory for; the step after which rows leave; and the steps whose scores count.
_STEPS, _LEAVE, _SEEN = 140, 40, {0, 1, 2, 3, 5, 40, 41, 42, 43, 60, 100, 134, 139}


class ScoreComparison:
    """Our scores and transformers' bfloat16 scores against its fp32 scores; errors are relative to the scores' norm."""

    def __init__(self, kind: str, written: Written) -> None:
        model, folder = written(kind)
        self.exact = deepcopy(model).to(DEVICE)
        self.rough = deepcopy(model).to(DEVICE, torch.bfloat16)
        self.engine = TorchEngine.load(tiny.spec(folder, "bf16").model_copy(update={"device": DEVICE}))
        self.ours: list[float] = []
        self.theirs: list[float] = []

    def see(self, found: torch.Tensor, inputs: dict[str, Sequence[int]]) -> None:
        """Adds one comparison; ``found`` are our scores for the token after these inputs."""
        arguments = {name: torch.tensor([ids], device=DEVICE) for name, ids in inputs.items()}
        expected, rough = (model(**arguments).logits[0, -1].float() for model in (self.exact, self.rough))
        self.ours.append(_apart(found, expected))
        self.theirs.append(_apart(rough, expected))

    def hold(self, is_captured: bool) -> None:
        capture = self.engine._capture
        assert capture is None or capture.can_capture == is_captured
        assert mean(self.ours) < _MORE * mean(self.theirs) + _LITTLE


def _apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.float() - expected).norm() / expected.norm())


@pytest.mark.parametrize("kind", tiny.DECODERS)
@torch.inference_mode()
def test_every_step_of_a_decoder_gives_the_scores_of_transformers(kind: str, written: Written) -> None:
    compared = ScoreComparison(kind, written)
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
    compared.hold(kind not in tiny.NOT_CAPTURED)


@pytest.mark.parametrize("kind", tiny.ENCODER_DECODERS)
@torch.inference_mode()
def test_every_step_of_an_encoder_decoder_gives_the_scores_of_transformers(kind: str, written: Written) -> None:
    compared = ScoreComparison(kind, written)
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
    compared.hold(kind not in tiny.NOT_CAPTURED)
