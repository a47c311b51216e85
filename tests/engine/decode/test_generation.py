"""In fp32, each architecture that runs on our attention gives the same tokens as transformers' generate."""

import gc
from typing import Any

import pytest
import torch

from tests.engine import tiny
from tests.engine.conftest import Load, Written, same_bits
from worker.engine.completions import completions
from worker.engine.protocol import Completion, FinishReason, Request
from worker.engine.transformer.engine import TorchEngine

EVERY = sorted(tiny.GENERATIVE | tiny.UNFITTING)


def run(engine: TorchEngine, requests: list[Request]) -> dict[int, Completion]:
    return {completion.id: completion for completion in completions(engine, requests)}


def greedy(model: Any, request: Request) -> tuple[int, ...]:
    """What transformers' generate writes for one request."""
    tokens = torch.tensor([request.tokens])
    ids = model.generate(
        tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=request.max_new_tokens, do_sample=False
    )
    written = ids[0, 1 if model.config.is_encoder_decoder else len(request.tokens) :].tolist()
    return tuple(written[: written.index(tiny.END)] if tiny.END in written else written)


@pytest.mark.parametrize("kind", EVERY)
def test_exact_answers_are_those_of_transformers_alone_and_in_a_batch(kind: str, written: Written, load: Load) -> None:
    model, _ = written(kind)
    engine, requests = load(kind, "none"), tiny.requests()
    expected = {request.id: greedy(model, request) for request in requests}
    assert len({token for tokens in expected.values() for token in tokens}) > 8, (
        "the answers must vary to prove anything"
    )
    assert {number: completion.tokens for number, completion in run(engine, requests).items()} == expected
    assert {request.id: run(engine, [request])[request.id].tokens for request in requests} == expected


@pytest.mark.parametrize("kind", sorted(tiny.GENERATIVE))
@same_bits
def test_a_batch_gives_each_request_the_answer_it_gets_alone(kind: str, precision: str, load: Load) -> None:
    engine = load(kind, precision)
    requests = [request._replace(is_scored=True) for request in tiny.requests(max_new_tokens=40)]
    together = run(engine, requests)
    assert len({token for completion in together.values() for token in completion.tokens}) >= 8, "they must vary"
    assert together == {request.id: run(engine, [request])[request.id] for request in requests}
    assert together == run(engine, requests[::-1])


@pytest.mark.parametrize("kind", EVERY)
def test_each_request_keeps_its_own_limit(kind: str, load: Load) -> None:
    engine, requests = load(kind, "none"), tiny.requests()
    long = run(engine, requests)
    limited = [
        Request(request.id, request.tokens, limit)
        for request, limit in zip(requests, (3, 0, 9, 1, 5, 12, 2), strict=True)
    ]
    for request, completion in zip(limited, map(run(engine, limited).get, range(len(limited))), strict=True):
        assert completion is not None
        assert completion.tokens == long[request.id].tokens[: request.max_new_tokens]
        if len(completion.tokens) < request.max_new_tokens:
            assert completion.finish_reason is FinishReason.STOP
        elif len(long[request.id].tokens) > request.max_new_tokens:
            assert completion.finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize("kind", EVERY)
def test_completions_come_in_the_order_in_which_they_finish(kind: str, load: Load) -> None:
    requests = [
        Request(request.id, request.tokens, limit)
        for request, limit in zip(tiny.requests(), (9, 6, 12, 1, 7, 4, 2), strict=True)
    ]
    order = list(completions(load(kind, "none"), requests))
    assert len(order) == len(requests)
    steps = [len(completion.tokens) + (completion.finish_reason is FinishReason.STOP) for completion in order]
    assert steps == sorted(steps)


@pytest.mark.parametrize("kind", EVERY)
def test_a_row_stops_with_the_token_that_completes_its_stop_string(kind: str, load: Load) -> None:
    engine, requests = load(kind, "none"), tiny.requests()
    plain = run(engine, requests)
    tokens = max((completion.tokens for completion in plain.values()), key=lambda tokens: len(set(tokens)))
    chosen = next(number for number, completion in plain.items() if completion.tokens == tokens)
    last = max(place for place in range(len(tokens)) if tokens[place] not in tokens[:place])
    text = tiny.text(tokens[: last + 1])
    # The stop string spans the last two tokens, so that no single token completes it.
    stop = text[-7:-1]
    stopping = [
        Request(request.id, request.tokens, 12, stop=("never", stop) if request.id == chosen else ())
        for request in requests
    ]
    stopped = run(engine, stopping)
    assert stopped[chosen].finish_reason is FinishReason.STOP
    assert stopped[chosen].tokens == tokens[: next(n for n in range(1, 13) if stop in text[: 5 * n])]
    assert stopped | {chosen: plain[chosen]} == plain


@pytest.mark.parametrize("kind", EVERY)
def test_an_answer_begins_with_its_own_prefix_which_is_not_part_of_it(kind: str, written: Written, load: Load) -> None:
    model, _ = written(kind)
    prefixes: list[tuple[int, ...]] = [(), (5,), (6, 7), (8,), (), (9, 10, 11), (12,)]
    requests = [
        Request(request.id, request.tokens, 6, decoder_prefix=prefix)
        for request, prefix in zip(tiny.requests(), prefixes, strict=True)
    ]
    for request, completion in zip(requests, map(run(load(kind, "none"), requests).get, range(7)), strict=True):
        assert completion is not None
        assert completion.tokens == _continued(model, request)


def _continued(model: Any, request: Request) -> tuple[int, ...]:
    tokens = [*request.tokens]
    if not model.config.is_encoder_decoder:
        return greedy(model, Request(0, [*tokens, *request.decoder_prefix], request.max_new_tokens))
    prefix = [model.config.decoder_start_token_id, *request.decoder_prefix]
    ids = model.generate(
        torch.tensor([tokens]), decoder_input_ids=torch.tensor([prefix]), max_new_tokens=6, do_sample=False
    )
    written = ids[0, len(prefix) :].tolist()
    return tuple(written[: written.index(tiny.END)] if tiny.END in written else written)


def test_the_memory_of_a_batch_is_given_back(load: Load) -> None:
    engine = load("marian", "int8")
    run(engine, tiny.requests())
    before = _tensors()
    for _ in range(5):
        run(engine, tiny.requests())
    assert _tensors() == before


def _tensors() -> int:
    gc.collect()
    return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())
