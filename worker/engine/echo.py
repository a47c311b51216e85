"""An engine without a model: each answer is its input, reversed.

It is for trying an installation, and for measuring everything but the engine. An answer depends on its input alone, so
swapped or lost answers are noticed. The model's ``config.json`` may set

- ``seconds_per_batch``: the time that a batch takes; 0 by default.
- ``seconds_per_step``: then batches are continuous and write a token per step.
- ``reverses``: if it is false, each answer is its input as it is. It shows what a job keeps of its texts.
"""

import time
from collections.abc import Sequence
from typing import Self

from lengthwise.models.catalog import ModelSpec
from worker.engine.plain_batch import PlainBatch, Steps
from worker.engine.protocol import (
    Architecture,
    Capabilities,
    Completion,
    EngineBatch,
    EngineError,
    FinishReason,
    Request,
)
from worker.engine.requests import refuse_beams, refuse_unreadable


class EchoEngine:
    def __init__(self, spec: ModelSpec) -> None:
        self._context = spec.context
        self._seconds_per_batch = float(spec.config.get("seconds_per_batch", 0))
        self._is_continuous = "seconds_per_step" in spec.config
        self._seconds_per_step = float(spec.config.get("seconds_per_step", 0))
        self._reverses = bool(spec.config.get("reverses", True))

    @classmethod
    def load(cls, spec: ModelSpec) -> Self:
        return cls(spec)

    def capabilities(self) -> Capabilities:
        return Capabilities(
            Architecture.ENCODER_DECODER,
            self._context,
            device="none",
            quantization="none",
            is_packed=self._is_continuous,
            is_continuous=self._is_continuous,
        )

    def start(self) -> EngineBatch:
        return ContinuousEcho(self) if self.capabilities().is_continuous else PlainBatch(self.run)

    def check(self, requests: Sequence[Request]) -> None:
        """Raises ``EngineError`` if one of the requests cannot be answered."""
        refuse_unreadable(requests, self._context)
        refuse_beams(requests, "the engine echo")

    def run(self, requests: Sequence[Request]) -> Steps:
        """Answers a plain batch in one step."""
        self.check(requests)
        if self._seconds_per_batch:
            time.sleep(self._seconds_per_batch)
        yield list(map(self.echo, requests))

    def wait(self, n_requests: int) -> None:
        """Sleeps for the time of one step of a continuous batch."""
        if self._seconds_per_step:
            time.sleep(self._seconds_per_step)

    def answer(self, request: Request) -> tuple[int, ...]:
        tokens = reversed(request.tokens) if self._reverses else request.tokens
        return tuple(tokens)[: request.max_new_tokens]

    def echo(self, request: Request) -> Completion:
        answer = self.answer(request)
        is_complete = len(answer) == len(request.tokens)
        return Completion(request.id, answer, FinishReason.STOP if is_complete else FinishReason.LENGTH)


class ContinuousEcho:
    """A continuous batch: each step writes one token for each request."""

    def __init__(self, engine: EchoEngine) -> None:
        self._engine = engine
        self._requests: dict[int, Request] = {}
        #: Steps until the answer is complete, by the request's id.
        self._n_left: dict[int, int] = {}
        self._is_closed = False

    @property
    def n_requests(self) -> int:
        """The number of requests that are not answered yet."""
        return len(self._requests)

    @property
    def is_done(self) -> bool:
        return not self._requests

    def add(self, requests: Sequence[Request]) -> None:
        """See ``EngineBatch.add``."""
        if self._is_closed:
            raise EngineError("the batch is closed")
        try:
            self._engine.check(requests)
        except EngineError:
            self.close()
            raise
        self._requests |= {request.id: request for request in requests}
        self._n_left |= {request.id: len(self._engine.answer(request)) for request in requests}

    def step(self) -> Sequence[Completion]:
        """See ``EngineBatch.step``."""
        if self.is_done:
            return ()
        try:
            self._engine.wait(len(self._requests))
        except BaseException:
            self.close()
            raise
        self._n_left = {number: count - 1 for number, count in self._n_left.items()}
        finished = [number for number, count in self._n_left.items() if count < 1]
        for number in finished:
            del self._n_left[number]
        return [self._engine.echo(self._requests.pop(number)) for number in finished]

    def close(self) -> None:
        """See ``EngineBatch.close``."""
        self._is_closed = True
        self._requests.clear()
        self._n_left.clear()
