"""The engine ``openai``: sends a batch's requests to a server, concurrently, and returns answers as they arrive."""

import asyncio
import logging
import math
import os
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Self

import httpx

from lengthwise import settings
from lengthwise.errors import ConfigurationError
from lengthwise.models import fitting
from lengthwise.models.catalog import ModelSpec, ServerOptions
from worker.engine.openai.concurrency import Concurrency
from worker.engine.openai.queue import RequestQueue
from worker.engine.openai.server import AttemptFailed, Blame, Server
from worker.engine.openai.wire import CompletionsWire
from worker.engine.plain_batch import PlainBatch, Steps
from worker.engine.protocol import (
    Architecture,
    Capabilities,
    Completion,
    EngineError,
    EngineUnavailable,
    FinishReason,
    Request,
)
from worker.engine.requests import limit_of_continuation, refuse_beams, refuse_unreadable

log = logging.getLogger(__name__)


class OpenAIEngine:
    """One model of one server. The model's folder holds ``config.json`` and the tokenizer; no weights are needed."""

    def __init__(self, spec: ModelSpec, options: ServerOptions, key: str | None) -> None:
        self._capabilities = Capabilities(
            Architecture.DECODER_ONLY, spec.context, device="server", quantization="server", is_packed=True
        )
        self._wire = CompletionsWire(spec, options)
        self._server = Server(options, key)
        self._timeout_seconds = options.timeout_seconds
        self._queue = RequestQueue(Concurrency(options.max_concurrency), options.timeout_seconds)

    @classmethod
    def load(cls, spec: ModelSpec) -> Self:
        """Reads the model's local files. The first request to the server is sent by the first batch.

        Raises ``ConfigurationError`` if ``models.toml`` does not name the server, if the environment lacks its key, or
        if the model has a kind that no decoder-only model serves.
        """
        options = spec.server
        if options is None:
            raise ConfigurationError(f"model {spec.name}: the engine openai needs a table models.{spec.name}.server")
        fitting.check(spec, "the engine openai", Architecture.DECODER_ONLY)
        if 3 * options.timeout_seconds >= settings.get().hang_seconds:
            # A request with all its attempts takes up to twice the timeout. The watchdog kills a batch that finishes no
            # request for hang_seconds.
            raise ConfigurationError(
                f"model {spec.name}: server.timeout_seconds must be less than a third of LENGTHWISE_HANG_SECONDS"
            )
        key = os.environ.get(options.key_variable) if options.key_variable else None
        if options.key_variable and not key:
            raise ConfigurationError(f"model {spec.name}: the variable {options.key_variable} holds no key")
        return cls(spec, options, key)

    def capabilities(self) -> Capabilities:
        return self._capabilities

    def start(self) -> PlainBatch:
        """Starts a batch, which sends the server as many concurrent requests as it can take.

        A step waits for the next answer. Whether an answer depends on its neighbours is up to the server. A step raises
        ``EngineUnavailable`` as soon as the server can answer no request, and ``EngineError`` at the end if some
        requests were not answered.
        """
        return PlainBatch(self._run)

    def _run(self, requests: Sequence[Request]) -> Steps:
        refuse_unreadable(requests, self._capabilities.context)
        refuse_beams(requests, "the engine openai")
        unanswered = [request for request in requests if self._limit(request) > 0]
        yield [Completion(request.id, (), FinishReason.LENGTH) for request in requests if self._limit(request) <= 0]
        if unanswered:
            yield from self._send(unanswered)

    def _limit(self, request: Request) -> int:
        return limit_of_continuation(request, self._capabilities.context)

    def _send(self, requests: Sequence[Request]) -> Steps:
        answers = self._answers(requests)

        async def next_answer() -> Completion | None:
            return await anext(answers, None)

        with asyncio.Runner() as runner:
            try:
                while (completion := runner.run(next_answer())) is not None:
                    yield [completion]
            finally:
                runner.run(answers.aclose())

    async def _answers(self, requests: Sequence[Request]) -> AsyncGenerator[Completion, None]:
        failures: list[str] = []
        answered_at = time.monotonic()
        async with self._server.connections() as connections:
            sends = [lambda request=request: self._complete(connections, request) for request in requests]
            async with aclosing(self._queue.answers(sends)) as answers:
                async for answer in answers:
                    if isinstance(answer, Completion):
                        answered_at = time.monotonic()
                        yield answer
                    elif await self._is_away(connections, answer):
                        raise EngineUnavailable(str(answer), math.ceil(answer.retry_after))
                    else:
                        failures.append(str(answer))
                        if time.monotonic() > answered_at + self._timeout_seconds:
                            break  # before the watchdog kills the batch; the worker retries the rest in smaller ones
        if failures:
            raise EngineError(f"{len(failures)} requests or more were not answered; the first one: {failures[0]}")

    async def _is_away(self, connections: httpx.AsyncClient, failure: AttemptFailed) -> bool:
        if failure.blame is Blame.UNKNOWN:
            return not await self._server.is_there(connections)
        return failure.blame is Blame.SERVER

    async def _complete(self, connections: httpx.AsyncClient, request: Request) -> Completion:
        try:
            body = self._wire.body(request, [*request.tokens, *request.decoder_prefix], self._limit(request))
            return self._wire.completion(request, await self._server.complete(connections, body))
        except EngineError as error:
            raise AttemptFailed(str(error), Blame.REQUEST, may_pass=False) from None
