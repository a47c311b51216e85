"""Continuous batching: requests join a running batch, and each answer is the one that its request gets alone."""

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch

from tests.engine import tiny
from tests.engine.conftest import Load, same_bits
from tests.engine.decode.test_generation import run
from worker.engine.protocol import Completion, EngineError, Request, Sampling
from worker.engine.transformer.engine import TorchEngine
from worker.engine.transformer.native import library


def arriving(portions: Sequence[Sequence[Request]], every: int) -> Callable[[], Sequence[Request]]:
    """A source that gives the next portion at every ``every``-th call, and in the end nothing."""
    waiting = iter(portions)

    def asked() -> Iterator[Sequence[Request]]:
        for portion in waiting:
            yield portion
            for _ in range(every - 1):
                yield ()

    steps = asked()
    return lambda: next(steps, ())


def run_open(engine: TorchEngine, portions: Sequence[Sequence[Request]], every: int) -> dict[int, Completion]:
    source, completions = arriving(portions, every), list[Completion]()
    for _ in range(len(portions) * every):  # the batch may end between two portions
        completions += engine.generate_from(source)
    assert len({completion.id for completion in completions}) == len(completions)
    return {completion.id: completion for completion in completions}


def requests() -> list[Request]:
    """Requests of several lengths, sampled and greedy, one of which may write nothing."""
    asked = [request._replace(is_scored=True) for request in tiny.requests(max_new_tokens=40)]
    asked += [request._replace(id=100 + request.id, max_new_tokens=3 + number) for number, request in enumerate(asked)]
    asked[1] = asked[1]._replace(sampling=Sampling(1.0, 0.9, 20, 7))
    asked[2] = asked[2]._replace(max_new_tokens=0)
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


def test_a_batch_ends_once_the_source_is_empty_and_all_rows_have_ended(load: Load) -> None:
    engine, n_asked = load("llama", "int8"), 0

    def source() -> Sequence[Request]:
        nonlocal n_asked
        n_asked += 1
        return [Request(0, [5, 6], 4)] if n_asked == 1 else ()

    assert [len(completion.tokens) <= 4 for completion in engine.generate_from(source)] == [True]
    assert n_asked <= 5
    assert list(engine.generate_from(lambda: ())) == []


def test_a_request_that_cannot_be_read_ends_the_batch_and_what_was_answered_stays(load: Load) -> None:
    engine = load("llama", "int8")
    portions = [[Request(0, [5, 6], 1)], [Request(1, [], 1)]]
    completions = engine.generate_from(arriving(portions, 1))
    assert next(completions).id == 0
    with pytest.raises(EngineError, match="empty or longer"):
        list(completions)
