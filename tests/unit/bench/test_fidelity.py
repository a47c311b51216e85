"""The arithmetic of ``make bench-fidelity``, on numbers that are small enough for a sheet of paper."""

import math
from io import StringIO
from typing import NamedTuple

import pytest
import torch
from rich.console import Console

from benchmarks.fidelity import corpus, onnx_weights, processor, real_models, report
from benchmarks.fidelity.compare import INT8, OPENVINO, VectorFidelity
from benchmarks.fidelity.measure import LinearClassifier, TokenFidelity, flips, least_cosine, token_fidelity

#: Probabilities of two tokens at two places, and what an inexact model makes of them.
EXACT = torch.tensor([[0.5, 0.5], [0.8, 0.2]]).log()
INEXACT = torch.tensor([[0.25, 0.75], [0.8, 0.2]]).log()
TARGETS = torch.tensor([0, 1])


def test_a_model_is_no_distance_from_itself() -> None:
    found = token_fidelity(EXACT, EXACT, TARGETS)
    assert (found.kl, found.relative_perplexity, found.same_argmax) == (0, 0, 1)
    assert found.perplexity == pytest.approx((0.5 * 0.2) ** -0.5)


def test_scores_may_have_any_constant() -> None:
    assert token_fidelity(EXACT + 3, EXACT - 2, TARGETS).kl == pytest.approx(0, abs=1e-6)


def test_divergence_perplexity_and_greatest_tokens_are_those_of_the_definitions() -> None:
    found = token_fidelity(EXACT, INEXACT, TARGETS)
    assert found.tokens == 2
    assert found.kl == pytest.approx((0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)) / 2, rel=1e-5)
    assert found.perplexity == pytest.approx((0.25 * 0.2) ** -0.5, rel=1e-5)
    assert found.relative_perplexity == pytest.approx(math.sqrt(2) - 1, rel=1e-5)
    assert found.same_argmax == 0.5


def test_parts_of_a_text_add_up() -> None:
    whole = token_fidelity(EXACT, INEXACT, TARGETS)
    parts = TokenFidelity()
    for place in range(2):
        one = slice(place, place + 1)
        parts = parts.plus(token_fidelity(EXACT[one], INEXACT[one], TARGETS[one]))
    assert parts == pytest.approx(whole)


def test_the_least_cosine_is_that_of_the_farthest_vector() -> None:
    one = torch.tensor([[1.0, 0.0], [3.0, 4.0]])
    two = torch.tensor([[2.0, 0.0], [4.0, 3.0]])
    assert least_cosine(one, two) == pytest.approx(0.96)


def test_a_score_flips_if_it_crosses_the_threshold() -> None:
    before, after = torch.tensor([0.4, 0.6, 0.5, 0.49]), torch.tensor([0.5, 0.4, 0.5, 0.1])
    assert flips(before, after) == 2


def test_the_classifier_learns_what_separates_two_sorts_of_vectors() -> None:
    draw = torch.Generator().manual_seed(1)
    is_flagged = torch.arange(200) % 2 == 0
    vectors = torch.randn(200, 5, generator=draw) + is_flagged[:, None] * torch.tensor([4.0, 0, 0, 0, 0])
    found = LinearClassifier.trained(vectors, is_flagged).scores(vectors)
    assert ((found >= 0.5) == is_flagged).double().mean() > 0.95
    assert found.min() >= 0 and found.max() <= 1


class Node(NamedTuple):
    """An operation of an ONNX graph."""

    op_type: str
    input: tuple[str, ...]
    output: tuple[str, ...]


def test_matrices_in_int8_get_their_factors_by_rows_or_columns() -> None:
    stored = {
        "val_9_q": torch.tensor([[1, -2], [3, 4]], dtype=torch.int8),
        "val_9_scale": torch.tensor([[0.5, 2.0]]),
        "inner.words.weight_q": torch.tensor([[5, 6], [7, 8]], dtype=torch.int8),
        "inner.words.weight_scale": torch.tensor([[0.5], [2.0]]),
        "inner.dense.bias": torch.tensor([1.0, 2.0]),
    }
    found = onnx_weights.dequantized(stored)
    assert {name: values.tolist() for name, values in found.items()} == {
        "val_9": [[0.5, -4.0], [1.5, 8.0]],
        "inner.words.weight": [[2.5, 3.0], [14.0, 16.0]],
        "inner.dense.bias": [1.0, 2.0],
    }


@pytest.mark.parametrize("operands", [("product", "inner.dense.bias"), ("inner.dense.bias", "product")])
def test_a_linear_layers_matrix_is_named_after_the_bias_behind_it(operands: tuple[str, str]) -> None:
    tensors = {
        "val_9": torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
        "inner.dense.bias": torch.zeros(3),
        "inner.norm.bias": torch.zeros(3),
        "val_1": torch.ones(1),
    }
    nodes = [
        Node("MatMul", ("x", "val_9"), ("product",)),
        Node("Add", operands, ("y",)),
        Node("MatMul", ("y", "z"), ("scores",)),
        Node("Add", ("scores", "val_1"), ("masked",)),
        Node("Add", ("x", "inner.norm.bias"), ("normed",)),
    ]
    found = onnx_weights.named(tensors, nodes)
    assert found.keys() == {"dense.weight", "dense.bias", "norm.bias", "val_1"}
    assert found["dense.weight"].tolist() == [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]


def test_tensors_that_bert_lacks_are_named() -> None:
    with pytest.raises(ValueError, match=r"embeddings\.word_embeddings\.weight.*encoder\.layer\.5\."):
        real_models.of_bert({"embeddings.word_embeddings.weight": torch.zeros(3, 384)})


def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it() -> None:
    line = "no-such-package is not installed: make test-real installs it"
    assert real_models.missing("pytest", "no-such-package") == line
    assert real_models.missing("pytest") is None
    with pytest.raises(real_models.MissingPackage, match=line):
        real_models.file_of("no-such-package", ".gguf")


def test_sections_are_plain_prose() -> None:
    found = corpus.sections(40)
    assert len(found) == 40
    for text in found:
        assert len(text) >= 600
        assert not any(mark in text for mark in ("](", "```", "**", "\n", " | "))


def test_sentences_have_words_and_are_told_once() -> None:
    found = corpus.sentences(300)
    assert len(found) == len(set(found)) == 300
    assert corpus.sentences(3) == found[:3]


@pytest.mark.parametrize(
    ("flags", "best"),
    [
        ("fpu avx2 avx512f avx512_vnni amx_int8", "AMX"),
        ("fpu avx2 avx512f avx512_vnni", "AVX-512 VNNI"),
        ("fpu avx2", "AVX2"),
    ],
)
def test_the_processor_is_told_with_its_best_instructions(flags: str, best: str) -> None:
    told = f"processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: {flags}\n"
    assert processor.described(told) == f"Some CPU @ 2 GHz ({best})"


def tokens(kl: float, loss: float = 1.0) -> TokenFidelity:
    return TokenFidelity(tokens=1000, divergence=1000 * kl, reference_loss=1000.0, loss=1000 * loss, same=950)


GOOD = VectorFidelity(0.9996, 0.9988, 0.9991, 2)


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO(), width=140)


@pytest.mark.parametrize(
    ("written", "embedded", "broken"),
    [
        ({INT8: tokens(0.006), OPENVINO: tokens(0.011)}, {INT8: GOOD}, []),
        ({INT8: tokens(0.006)}, {}, []),
        ({INT8: tokens(0.0095)}, {INT8: GOOD}, ["KL"]),
        ({INT8: tokens(0.006), OPENVINO: tokens(0.005)}, {INT8: GOOD}, ["KL, beside OpenVINO's"]),
        ({INT8: tokens(0.006, 1.01)}, {INT8: GOOD}, ["perplexity, relative to fp32"]),
        ({INT8: tokens(0.006, 0.9)}, {INT8: GOOD}, []),
        ({}, {INT8: GOOD._replace(least_cosine=0.9994)}, ["least cosine of sentences"]),
        ({}, {INT8: GOOD._replace(least_of_short=0.9984)}, ["least cosine of shorter ones"]),
        ({}, {INT8: GOOD._replace(least_of_numbers=0.9989)}, ["least cosine of single numbers"]),
        ({}, {INT8: GOOD._replace(flips=4)}, ["flips"]),
    ],
)
def test_a_bound_that_is_broken_is_named(
    written: dict[str, TokenFidelity], embedded: dict[str, VectorFidelity], broken: list[str], console: Console
) -> None:
    found = report.bounds(written, embedded)
    assert [each.what for each in found if not each.holds] == broken
    assert report.judged(console, found, has_vnni=True) == (not broken)
    assert report.judged(console, found, has_vnni=False), "the bounds are for 8 bits"


def test_figures_that_were_not_measured_are_none() -> None:
    measured = report.figures({INT8: tokens(0.006), OPENVINO: tokens(0.011)}, {INT8: GOOD})
    assert {"kl_int8", "kl_openvino", "ppl_rel", "same_argmax", "embed_cos_min", "classifier_flips"} <= measured.keys()
    assert (measured["kl_int8"], measured["kl_openvino"], measured["classifier_flips"]) == (0.006, 0.011, 2)
    assert set(report.figures({}, {}).values()) == {None}
