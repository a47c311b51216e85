"""all-MiniLM-L6-v2 with its real weights: vectors in fp32 are those of transformers, and int8 stays near them."""

from pathlib import Path

import pytest
import torch

from benchmarks.fidelity import corpus, ours, real_models, report
from benchmarks.fidelity.measure import least_cosine
from benchmarks.fidelity.transformers_reference import ReferenceEmbedder
from tests.real.conftest import needs_vnni
from tests.real.prompts import QUESTIONS

_ABSENT = real_models.missing(real_models.EMBEDDING_PACKAGE, real_models.IDS_PACKAGE, "onnx")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(_ABSENT is not None, reason=_ABSENT or ""),
]

#: The texts whose vectors int8 moves most: single numbers.
NUMBERS = ("2.", "8.")


@pytest.fixture(scope="module")
def folder(models: Path) -> Path:
    return real_models.embedder(models)


@pytest.fixture(scope="module")
def own() -> real_models.BertIds:
    return real_models.BertIds()


def reference(folder: Path, ids: list[list[int]]) -> torch.Tensor:
    return torch.from_numpy(ReferenceEmbedder(folder).answers(ids))


def test_texts_become_ids_of_berts_vocabulary(own: real_models.BertIds) -> None:
    hello, *others = own.encode(["Hello, world!", *QUESTIONS])
    assert hello == [101, 7592, 1010, 2088, 999, 102]
    assert all(100 not in ids for ids in others), "plain English has no unknown words"


def test_the_weights_are_those_of_a_trained_model(folder: Path, own: real_models.BertIds) -> None:
    texts = ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "The bank raised its interest rates."]
    cat, kitten, bank = reference(folder, own.encode(texts))
    assert cat @ kitten > 0.5 > cat @ bank


def test_vectors_in_fp32_are_those_of_transformers(folder: Path, own: real_models.BertIds) -> None:
    ids = own.encode([*QUESTIONS, *NUMBERS])
    found = ours.vectors(ours.load(folder, "none"), ids)
    assert torch.allclose(found, reference(folder, ids), rtol=0, atol=1e-6)


@needs_vnni
def test_vectors_in_int8_stay_within_their_bounds(folder: Path, own: real_models.BertIds) -> None:
    engine, sentences = ours.load(folder, "int8"), own.encode([*QUESTIONS, *corpus.sentences(100)])
    for ids, least in (
        ([each for each in sentences if len(each) >= corpus.LONG], report.LEAST_COSINE),
        ([each for each in sentences if len(each) < corpus.LONG], report.LEAST_OF_SHORT),
        (own.encode(NUMBERS), report.LEAST_OF_NUMBERS),
    ):
        found, truth = ours.vectors(engine, ids), reference(folder, ids)
        assert not torch.equal(found, truth), "it runs in int8"
        assert least_cosine(truth, found) >= least
