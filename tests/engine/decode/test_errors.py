"""Failures inside a batch reach the caller as the protocol's errors, which reveal nothing of its contents."""

from typing import Any

import pytest
import torch

from tests.engine import tiny
from tests.engine.conftest import Load
from worker.engine.completions import completions
from worker.engine.protocol import EngineError, OutOfMemoryError, Request

SECRET = 101


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), OutOfMemoryError),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried …"), OutOfMemoryError),
        (MemoryError(), OutOfMemoryError),
        (RuntimeError(f"index {SECRET} is out of range"), EngineError),
        (KeyError(SECRET), EngineError),
    ],
)
def test_errors_are_those_of_the_protocol_and_tell_nothing(
    load: Load, monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: type[EngineError]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise raised

    engine = load("llama", "none")
    monkeypatch.setattr(engine.model, "forward", fail)
    with pytest.raises(EngineError) as caught:
        list(completions(engine, tiny.requests()))
    assert type(caught.value) is expected
    assert str(SECRET) not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("tokens", [[], [5] * 257])
def test_a_request_that_the_model_cannot_hold_is_refused(load: Load, tokens: list[int]) -> None:
    with pytest.raises(EngineError, match="256"):
        list(completions(load("llama", "none"), [Request(0, tokens, 4)]))


def test_an_answer_ends_where_the_context_does(load: Load) -> None:
    (completion,) = completions(load("llama", "none"), [Request(0, [5] * 250, 50)])
    assert len(completion.tokens) <= 6


def test_an_empty_batch_has_no_completions(load: Load) -> None:
    assert list(completions(load("llama", "none"), [])) == []


def test_inference_mode_does_not_leak_to_the_caller_between_completions(load: Load) -> None:
    for _ in completions(load("llama", "none"), tiny.requests()):
        assert not torch.is_inference_mode_enabled()
