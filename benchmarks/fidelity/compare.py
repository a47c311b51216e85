"""Compares every system with transformers in fp32 on the same token ids."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.child_program import ChildProgram, SystemFailure, running
from benchmarks.fidelity.measure import LinearClassifier, TokenFidelity, flips, least_cosine, token_fidelity

FP32, INT8, BF16 = "lengthwise fp32", "lengthwise int8", "lengthwise bf16"
OPENVINO, CTRANSLATE2, _REFERENCE = "OpenVINO int8", "CTranslate2 int8", "transformers fp32"

#: Texts that are compared at a time. Their scores have 31 MB a text and system.
_TEXTS = 4
#: No rounding to 8 bits costs as much: then a system computes another model.
_ANOTHER_MODEL = 0.5

Ids = Sequence[Sequence[int]]


@dataclass(frozen=True)
class FidelityEntry:
    """Where a system's classes are (``module:class``). Peers run in their own environment; not every one embeds."""

    writer: str
    embedder: str | None
    is_peer: bool = False


SYSTEMS = {
    FP32: FidelityEntry("benchmarks.fidelity.ours:Fp32Writer", "benchmarks.fidelity.ours:Fp32Embedder"),
    INT8: FidelityEntry("benchmarks.fidelity.ours:Int8Writer", "benchmarks.fidelity.ours:Int8Embedder"),
    BF16: FidelityEntry("benchmarks.fidelity.ours:Bf16Writer", "benchmarks.fidelity.ours:Bf16Embedder"),
    OPENVINO: FidelityEntry(
        "benchmarks.fidelity.openvino_peer:OpenVinoWriter",
        "benchmarks.fidelity.openvino_peer:OpenVinoEmbedder",
        is_peer=True,
    ),
    CTRANSLATE2: FidelityEntry("benchmarks.fidelity.ctranslate2_peer:CTranslate2Writer", None, is_peer=True),
}
_WRITER = "benchmarks.fidelity.transformers_reference:ReferenceWriter"
_EMBEDDER = "benchmarks.fidelity.transformers_reference:ReferenceEmbedder"


class VectorTexts(NamedTuple):
    """The ids of the texts whose vectors are compared: long and short sentences, single numbers, tweets to classify."""

    sentences: Ids
    short: Ids
    numbers: Ids
    training: Ids
    is_flagged: Sequence[bool]
    classified: Ids


class VectorFidelity(NamedTuple):
    """The least cosines of each sort of texts to fp32, and how many of the classified texts change sides."""

    least_cosine: float
    least_of_short: float
    least_of_numbers: float
    flips: int


class Runner:
    """Runs systems on one model. ``interpreters`` maps True to the peers' Python and False to ours."""

    def __init__(
        self, model: Path, interpreters: Mapping[bool, Path], versions: dict[str, str], say: Callable[[str], None]
    ) -> None:
        self.model, self.interpreters, self.versions, self.say = model, interpreters, versions, say
        self._exits = ExitStack()

    def __enter__(self) -> "Runner":
        self._folder = Path(self._exits.enter_context(TemporaryDirectory(prefix="lw-fidelity-")))
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def load(self, name: str, place: str, *, is_peer: bool = False) -> ChildProgram:
        """Starts a system, and notes the versions of its libraries. Raises ``SystemFailure``."""
        self.say(f"loading {name}")
        python = self.interpreters[is_peer]
        program = self._exits.enter_context(
            running(name, python, "benchmarks.fidelity.system", [place, str(self.model)])
        )
        whose = "peers: " if is_peer else ""
        self.versions.update({whose + library: found for library, found in program.answer()["versions"].items()})
        return program

    def answers(self, program: ChildProgram, inputs: Ids) -> torch.Tensor:
        """See ``FidelitySystem.answers``. Raises ``SystemFailure``."""
        path = self._folder / "answers.npy"
        program.ask(json.dumps({"path": str(path), "inputs": [list(tokens) for tokens in inputs]}))
        found = torch.from_numpy(np.load(path))
        path.unlink()
        return found


def compare_writers(runner: Runner, systems: Mapping[str, FidelityEntry], texts: Ids) -> dict[str, TokenFidelity]:
    """Teacher-forced: every system reads the texts, and gives the scores of each next token.

    Raises ``SystemFailure``, also if a system's scores are those of another model.
    """
    reference = runner.load(_REFERENCE, _WRITER)
    loaded = {name: runner.load(name, each.writer, is_peer=each.is_peer) for name, each in systems.items()}
    found = dict.fromkeys(loaded, TokenFidelity())
    for start in range(0, len(texts), _TEXTS):
        batch = texts[start : start + _TEXTS]
        read, targets = [tokens[:-1] for tokens in batch], torch.tensor([id_ for tokens in batch for id_ in tokens[1:]])
        truth = runner.answers(reference, read)
        for name, program in loaded.items():
            scores = runner.answers(program, read)[:, : truth.shape[1]]  # some pad the vocabulary
            found[name] = found[name].plus(token_fidelity(truth, scores, targets))
            if not found[name].kl < _ANOTHER_MODEL:  # at the first texts already
                kl = f"KL {found[name].kl:.3g}"
                raise SystemFailure(f"{name} computes another model ({kl}): leave it out with --systems")
        runner.say(f"{min(start + _TEXTS, len(texts))} of {len(texts)} texts read")
    return found


def compare_embedders(
    runner: Runner, systems: Mapping[str, FidelityEntry], texts: VectorTexts
) -> dict[str, VectorFidelity]:
    """The classifier is trained on vectors in fp32; its flags by each system's vectors are compared with its own.

    Raises ``SystemFailure``.
    """
    reference = runner.load(_REFERENCE, _EMBEDDER)
    flagged = torch.tensor(texts.is_flagged)
    classifier = LinearClassifier.trained(runner.answers(reference, texts.training), flagged)
    sorts = (texts.sentences, texts.short, texts.numbers)
    truths = [runner.answers(reference, ids) for ids in sorts]
    classified = runner.answers(reference, texts.classified)
    before = classifier.scores(classified)
    runner.say(f"the classifier flags {int((before >= 0.5).sum())} of {len(before)} texts")
    found = {}
    for name, system in systems.items():
        if system.embedder is None:
            continue
        program = runner.load(name, system.embedder, is_peer=system.is_peer)
        long, short, numbers = (
            least_cosine(truth, runner.answers(program, ids)) for truth, ids in zip(truths, sorts, strict=True)
        )
        after = classifier.scores(runner.answers(program, texts.classified))
        found[name] = VectorFidelity(long, short, numbers, flips(before, after))
    return found
