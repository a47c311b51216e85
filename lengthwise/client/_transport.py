"""Runs the effects of calls with a blocking ``httpx.Client``; ``_async_transport`` is its twin for event loops."""

import time
from collections.abc import Generator, Iterator
from typing import Any, TypeVar

import httpx

from lengthwise.client._address import Address, request_arguments, unreachable
from lengthwise.client._effect import (
    Effect,
    HttpRequest,
    HttpResponse,
    OnRetry,
    OpenEffect,
    PauseEffect,
    ReadEffect,
    SendEffect,
    Steps,
    YieldEffect,
)

T = TypeVar("T")


class BlockingTransport:
    """Threads may share it: each call has its own open response."""

    def __init__(self, where: Address, http: httpx.Client | None = None, on_retry: OnRetry | None = None) -> None:
        self._where = where
        self._on_retry = on_retry
        self._http = http or httpx.Client()

    def run(self, steps: Steps[T]) -> T:
        """The result of a call that yields no values."""
        running = self.iterate(steps)
        try:
            next(running)
        except StopIteration as end:
            result: T = end.value
            return result
        raise AssertionError("a call that yields values was run, not iterated over")

    def iterate(self, steps: Steps[T]) -> Generator[Any, None, T]:
        """The values that a call yields. Closing the iterator early closes the open response."""
        state = _CallState(self._http, self._where, self._on_retry)
        try:
            effect = next(steps)
            while True:
                if isinstance(effect, YieldEffect):
                    yield from effect.values
                try:
                    outcome = state.do(effect)
                except (httpx.HTTPError, httpx.StreamError) as error:
                    effect = steps.throw(unreachable(error))
                else:
                    effect = steps.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            state.close()
            steps.close()

    def close(self) -> None:
        self._http.close()


class _CallState:
    """The state of one call: its open response."""

    def __init__(self, http: httpx.Client, where: Address, on_retry: OnRetry | None) -> None:
        self._http, self._where, self._on_retry = http, where, on_retry
        self._response: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def do(self, effect: Effect) -> Any:
        match effect:
            case PauseEffect(seconds, error, left_seconds):
                self.close()
                if self._on_retry is not None:
                    self._on_retry(error, left_seconds)
                time.sleep(seconds)
            case OpenEffect(request) | SendEffect(request):
                return self._answer(request, is_whole=isinstance(effect, SendEffect))
            case ReadEffect():
                return next(self._chunks, b"")
        return None

    def _answer(self, request: HttpRequest, is_whole: bool) -> HttpResponse:
        self.close()
        content = request.body.chunks() if request.body else None
        built = self._http.build_request(**request_arguments(self._where, request), content=content)
        response = self._response = self._http.send(built, stream=True)
        if is_whole or response.status_code >= 300:
            read = response.read()
            self.close()
            return HttpResponse(response.status_code, response.headers, read)
        self._chunks = response.iter_bytes()
        return HttpResponse(response.status_code, response.headers)

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None
