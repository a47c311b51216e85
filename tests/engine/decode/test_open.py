"""Continuous batching: requests join a running batch, and each answer is the one that its request gets alone."""

from collections.abc import Sequence

import pytest
import torch

from tests.engine import tiny
from tests.engine.conftest import Load, same_bits
from tests.engine.decode.test_generation import run
from worker.engine.protocol import Completion, EngineError, Request, Sampling
from worker.engine.transformer.engine import TorchEngine
from worker.engine.transformer.native import library


def run_open(engine: TorchEngine, portions: Sequence[Sequence[Request]], every: int) -> dict[int, Completion]:
    """Adds one portion every so many steps, between any two of which the batch may be done."""
    batch, found = engine.start(), list[Completion]()
    for portion in portions:
        batch.add(portion)
        for _ in range(every):
            found += batch.step()
    while not batch.is_done:
        found += batch.step()
    assert len({completion.id for completion in found}) == len(found)
    return {completion.id: completion for completion in found}


def requests() -> list[Request]:
    """Requests of several lengths, sampled and greedy, one of which may write nothing."""
    asked = [request._replace(is_scored=True) for request in tiny.requests(max_new_tokens=40)]
    asked += [request._replace(id=100 + request.id, max_new_tokens=3 + number) for number, request in enumerate(asked)]
    asked[1] = asked[1]._replace(sampling=Sampling(1.0, 0.9, 20, 7))
    asked[2] = asked[2]._replace(max_new_tokens=0)
    asked[4] = asked[4]._replace(sampling=Sampling(repetition_penalty=1.3))
    asked[5] = asked[5]._replace(sampling=Sampling(1.0, 0.9, 20, 7, repetition_penalty=1.3))
    return asked


@pytest.mark.parametrize("kind", sorted(tiny.DECODERS))
@same_bits
def test_joining_requests_and_those_they_join_get_the_answers_they_get_alone(
    kind: str, precision: str, load: Load
) -> None:
    engine, asked = load(kind, precision), requests()
    alone = {request.id: run(engine, [request])[request.id] for request in asked}
    portions = [asked[first : first + 2] for first in range(0, len(asked), 2)]
    for every in (1, 5, 17):
        assert run_open(engine, portions, every) == alone


def test_without_kernels_joining_changes_only_the_last_bits(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_is_approved", False)
    engine, asked = load("llama", "none"), requests()
    alone = {request.id: run(engine, [request])[request.id].tokens for request in asked}
    found = run_open(engine, [asked[:3], asked[3:4], asked[4:]], 4)
    assert {number: completion.tokens for number, completion in found.items()} == alone


def test_joining_requests_share_the_cached_prefix(load: Load) -> None:
    engine = load("llama", "int8")
    beginning = torch.randint(3, tiny.VOCABULARY, (130,), generator=torch.Generator().manual_seed(3)).tolist()
    asked = [Request(number, [*beginning, 5 + number, 9], 12) for number in range(6)]
    alone = {request.id: run(engine, [request])[request.id] for request in asked}
    assert run_open(engine, [asked[:2], asked[2:5], asked[5:]], 3) == alone


def test_a_batch_is_done_once_all_rows_have_ended(load: Load) -> None:
    batch, found, n_steps = load("llama", "int8").start(), list[Completion](), 0
    assert list(batch.step()) == []
    batch.add([Request(0, [5, 6], 4)])
    while not batch.is_done:
        found += batch.step()
        n_steps += 1
    assert [len(completion.tokens) <= 4 for completion in found] == [True]
    assert n_steps <= 5
    assert list(batch.step()) == []


def test_a_request_that_cannot_be_read_ends_the_batch_and_what_was_answered_stays(load: Load) -> None:
    batch = load("llama", "int8").start()
    batch.add([Request(0, [5, 6], 1)])
    assert [completion.id for completion in batch.step()] == [0]
    batch.add([Request(2, [5, 6], 9)])
    with pytest.raises(EngineError, match="empty or longer"):
        batch.add([Request(1, [], 1)])
    assert list(batch.step()) == []
