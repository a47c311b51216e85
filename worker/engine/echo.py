"""An engine without a model: each answer is its input, reversed. For trying an installation, and for measuring all
that is not the engine; since the answer is a pure function of the input, a swapped or lost one is seen.

A batch takes ``seconds_per_batch`` of the model's ``config.json``, 0 where that says nothing. With ``seconds_per_step``
it writes a token a step, and others may join.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Self

from lengthwise.models.catalog import ModelSpec
from worker.engine.protocol import Architecture, Capabilities, Completion, FinishReason, Request, Source
from worker.engine.requests import refuse_beams, refuse_unreadable


class EchoEngine:
    def __init__(self, spec: ModelSpec) -> None:
        self._context = spec.context
        self._seconds_per_batch = float(spec.config.get("seconds_per_batch", 0))
        self._is_open = "seconds_per_step" in spec.config
        self._seconds_per_step = float(spec.config.get("seconds_per_step", 0))

    @classmethod
    def load(cls, spec: ModelSpec) -> Self:
        return cls(spec)

    def capabilities(self) -> Capabilities:
        return Capabilities(
            Architecture.ENCODER_DECODER,
            self._context,
            device="none",
            quantization="none",
            is_packed=self._is_open,
            is_continuous=self._is_open,
        )

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        refuse_unreadable(requests, self._context)
        refuse_beams(requests, "the engine echo")
        if self._seconds_per_batch:
            time.sleep(self._seconds_per_batch)
        yield from map(_echo, requests)

    def generate_from(self, source: Source) -> Iterator[Completion]:
        rows: dict[int, Request] = {}
        left: dict[int, int] = {}
        while (joining := source()) or rows:
            refuse_unreadable(joining, self._context)
            refuse_beams(joining, "the engine echo")
            rows |= {request.id: request for request in joining}
            left |= {request.id: len(_answer(request)) for request in joining}
            self._step(len(rows))
            left = {number: count - 1 for number, count in left.items()}
            for number in [number for number, count in left.items() if count < 1]:
                del left[number]
                yield _echo(rows.pop(number))

    def _step(self, n_rows: int) -> None:
        if self._seconds_per_step:
            time.sleep(self._seconds_per_step)


def _answer(request: Request) -> tuple[int, ...]:
    return tuple(reversed(request.tokens))[: request.max_new_tokens]


def _echo(request: Request) -> Completion:
    answer = _answer(request)
    is_whole = len(answer) == len(request.tokens)
    return Completion(request.id, answer, FinishReason.STOP if is_whole else FinishReason.LENGTH)
