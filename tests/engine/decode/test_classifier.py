import pytest
import torch

from tests.engine import tiny
from tests.engine.conftest import Load, Written, same_bits
from tests.engine.decode.test_generation import run
from worker.engine.protocol import Architecture, FinishReason

KINDS = sorted(tiny.CLASSIFIERS)


@pytest.mark.parametrize("kind", sorted(tiny.CLASSIFIERS | tiny.UNFITTING_CLASSIFIERS))
def test_exact_scores_are_those_of_transformers(kind: str, written: Written, load: Load) -> None:
    model, _ = written(kind)
    multi = model.config.problem_type == "multi_label_classification"
    for request, completion in zip(
        tiny.requests(), map(run(load(kind, "none"), tiny.requests()).get, range(7)), strict=True
    ):
        assert completion is not None
        with torch.inference_mode():
            logits = model(torch.tensor([request.tokens])).logits[0]
        expected = torch.sigmoid(logits) if multi else torch.softmax(logits, dim=0)
        assert completion.scores == pytest.approx(expected.tolist(), abs=1e-5)
        assert (completion.tokens, completion.finish_reason) == ((), FinishReason.LABEL)


@pytest.mark.parametrize("kind", KINDS)
@same_bits
def test_a_score_is_the_same_bits_alone_and_in_a_batch(kind: str, precision: str, load: Load) -> None:
    engine, requests = load(kind, precision), tiny.requests(lengths=tuple(range(3, 43)))
    together = run(engine, requests)
    assert len({completion.scores for completion in together.values()}) == len(requests)
    assert together == {request.id: run(engine, [request])[request.id] for request in requests}


@pytest.mark.parametrize("kind", KINDS)
def test_int8_scores_are_near_the_exact_ones(kind: str, load: Load) -> None:
    exact, int8 = run(load(kind, "none"), tiny.requests()), run(load(kind, "int8"), tiny.requests())
    for number, completion in exact.items():
        assert int8[number].scores == pytest.approx(completion.scores, abs=0.2)


def test_labels_stand_in_the_order_of_the_scores(load: Load) -> None:
    capabilities = load("bert", "none").capabilities()
    assert capabilities.architecture is Architecture.CLASSIFIER
    assert capabilities.labels == ("LABEL_0", "LABEL_1", "LABEL_2")


def test_a_request_for_labels_needs_no_limit(load: Load) -> None:
    requests = [request._replace(max_new_tokens=0) for request in tiny.requests()]
    assert len(run(load("bert", "none"), requests)) == len(requests)
