"""Runs the effects of calls with an ``httpx.AsyncClient``; ``_transport`` is its twin for programs that block."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
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
from lengthwise.client._spool import Spool

T = TypeVar("T")


class AsyncTransport:
    """Tasks may share it: each call has its own open response."""

    def __init__(self, where: Address, http: httpx.AsyncClient | None = None, on_retry: OnRetry | None = None) -> None:
        self._where = where
        self._on_retry = on_retry
        self._http = http or httpx.AsyncClient()

    async def run(self, steps: Steps[T]) -> T:
        """The result of a call that yields no values."""
        state = _AsyncCallState(steps, self._http, self._where, self._on_retry)
        try:
            while state.effect is not None:
                await state.advance()
        finally:
            await state.close()
        result: T = state.result
        return result

    async def iterate(self, steps: Steps[Any]) -> AsyncGenerator[Any, None]:
        """The values that a call yields. Closing the iterator early closes the open response."""
        state = _AsyncCallState(steps, self._http, self._where, self._on_retry)
        try:
            while (effect := state.effect) is not None:
                if isinstance(effect, YieldEffect):
                    for value in effect.values:
                        yield value
                await state.advance()
        finally:
            await state.close()

    async def close(self) -> None:
        await self._http.aclose()


class _AsyncCallState:
    """The state of one call: the effect that it waits for, and its open response."""

    def __init__(self, steps: Steps[Any], http: httpx.AsyncClient, where: Address, on_retry: OnRetry | None) -> None:
        self._steps, self._http, self._where, self._on_retry = steps, http, where, on_retry
        self._response: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        #: ``None`` once the call has ended; ``result`` is then its result.
        self.effect: Effect | None = None
        self.result: Any = None
        self._resume(lambda: next(steps))

    async def advance(self) -> None:
        try:
            outcome = await self._do(self.effect)
        except (httpx.HTTPError, httpx.StreamError) as error:
            failure = unreachable(error)
            self._resume(lambda: self._steps.throw(failure))
        else:
            self._resume(lambda: self._steps.send(outcome))

    def _resume(self, step: Callable[[], Effect]) -> None:
        try:
            self.effect = step()
        except StopIteration as end:  # a coroutine must not raise it
            self.effect, self.result = None, end.value

    async def _do(self, effect: Effect | None) -> Any:
        match effect:
            case PauseEffect(seconds, error, left_seconds):
                await self._close_response()
                if self._on_retry is not None:
                    self._on_retry(error, left_seconds)
                await asyncio.sleep(seconds)
            case OpenEffect(request) | SendEffect(request):
                return await self._answer(request, is_whole=isinstance(effect, SendEffect))
            case ReadEffect():
                return b"" if self._chunks is None else await anext(self._chunks, b"")
        return None

    async def _answer(self, request: HttpRequest, is_whole: bool) -> HttpResponse:
        await self._close_response()
        content = _chunks(request.body) if request.body else None
        built = self._http.build_request(**request_arguments(self._where, request), content=content)
        response = self._response = await self._http.send(built, stream=True)
        if is_whole or response.status_code >= 300:
            read = await response.aread()
            await self._close_response()
            return HttpResponse(response.status_code, response.headers, read)
        self._chunks = response.aiter_bytes()
        return HttpResponse(response.status_code, response.headers)

    async def close(self) -> None:
        await self._close_response()
        self._steps.close()

    async def _close_response(self) -> None:
        if self._response is not None:
            await self._response.aclose()
            self._response = None


async def _chunks(spool: Spool) -> AsyncIterator[bytes]:
    for chunk in spool.chunks():
        yield chunk
