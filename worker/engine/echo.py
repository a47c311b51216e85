"""An engine without a model: each answer is its input, reversed. For trying an installation, and for measuring all
that is not the engine; since the answer is a pure function of the input, a swapped or lost one is seen.

A batch takes ``seconds_per_batch`` of the model's ``config.json``, 0 where that says nothing.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Self

from lengthwise.catalog import ModelSpec
from worker.engine.protocol import Architecture, Capabilities, Completion, FinishReason, Request
from worker.engine.requests import refuse_beams, refuse_unreadable


class EchoEngine:
    def __init__(self, spec: ModelSpec) -> None:
        self._context = spec.context
        self._seconds_per_batch = float(spec.config.get("seconds_per_batch", 0))

    @classmethod
    def load(cls, spec: ModelSpec) -> Self:
        return cls(spec)

    def capabilities(self) -> Capabilities:
        return Capabilities(Architecture.ENCODER_DECODER, self._context, device="none", quantization="none")

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        refuse_unreadable(requests, self._context)
        refuse_beams(requests, "the engine echo")
        if self._seconds_per_batch:
            time.sleep(self._seconds_per_batch)
        stop, length = FinishReason.STOP, FinishReason.LENGTH
        for request in requests:
            answer = tuple(reversed(request.tokens))[: request.max_new_tokens]
            whole = len(answer) == len(request.tokens)
            yield Completion(request.id, answer, stop if whole else length)
