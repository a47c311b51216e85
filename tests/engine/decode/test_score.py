"""The log-probability of an answer is the one that transformers computes."""

from typing import Any

import pytest
import torch

from tests.engine import tiny
from tests.engine.conftest import Load, Written
from tests.engine.decode.test_generation import EVERY, run
from worker.engine.protocol import Request, Sampling


def scored(requests: list[Request]) -> list[Request]:
    return [request._replace(is_scored=True) for request in requests]


def expected(model: Any, request: Request) -> float:
    """The sum of log-probabilities of the tokens that transformers' generate writes, with the end token."""
    tokens = torch.tensor([request.tokens])
    written = model.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=request.max_new_tokens,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
    )
    scores = model.compute_transition_scores(written.sequences, written.scores, normalize_logits=True)
    return float(scores.sum())


@pytest.mark.parametrize("kind", EVERY)
def test_a_score_is_that_of_transformers(kind: str, written: Written, load: Load) -> None:
    model, _ = written(kind)
    found = run(load(kind, "none"), scored(tiny.requests()))
    for request in tiny.requests():
        assert found[request.id].log_probability == pytest.approx(expected(model, request), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("kind", ["marian", "llama", "gemma2"])
def test_a_score_in_int8_has_the_same_bits_alone_and_in_a_batch(kind: str, load: Load) -> None:
    engine, requests = load(kind, "int8"), scored(tiny.requests())
    together = run(engine, requests)
    assert len({completion.log_probability for completion in together.values()}) == len(requests)
    assert together == {request.id: run(engine, [request])[request.id] for request in requests}


@pytest.mark.parametrize("kind", ["marian", "llama", "gpt2"])
def test_one_row_may_be_scored_beside_others(kind: str, load: Load) -> None:
    engine, requests = load(kind, "none"), tiny.requests()
    mixed = run(engine, [*scored(requests[:1]), *requests[1:]])
    assert isinstance(mixed[0].log_probability, float)
    assert {completion.log_probability for number, completion in mixed.items() if number} == {None}
    assert {number: found.tokens for number, found in mixed.items()} == {
        number: found.tokens for number, found in run(engine, requests).items()
    }


def test_a_score_is_the_models_whatever_the_temperature(load: Load) -> None:
    engine, [greedy] = load("llama", "none"), scored(tiny.requests(lengths=(9,)))
    cut = greedy._replace(sampling=Sampling(temperature=0.7, top_k=1))
    assert run(engine, [cut]) == run(engine, [greedy])


def test_what_an_answer_must_begin_with_does_not_count(load: Load) -> None:
    engine, [request] = load("marian", "none"), scored(tiny.requests(lengths=(9,)))
    [whole] = run(engine, [request]).values()
    forced = request._replace(decoder_prefix=whole.tokens[:1], max_new_tokens=request.max_new_tokens - 1)
    first = run(engine, [request._replace(max_new_tokens=1)])[0].log_probability
    rest = run(engine, [forced])[0].log_probability
    assert whole.log_probability is not None and first is not None
    assert rest == pytest.approx(whole.log_probability - first, rel=1e-4)


def test_an_answer_that_may_write_nothing_has_probability_one(load: Load) -> None:
    requests = scored([tiny.requests()[0]._replace(max_new_tokens=0)])
    assert run(load("llama", "none"), requests)[0].log_probability == 0.0
