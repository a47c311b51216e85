"""Carries out the effects of calls with httpx and an event loop: the other one of two."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, TypeVar

import httpx

from lengthwise.client._address import Address, arguments, lost
from lengthwise.client._effect import (
    Effect,
    HttpRequest,
    HttpResponse,
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
    """Tasks may share it: each call has its own answer open."""

    def __init__(self, where: Address, http: httpx.AsyncClient | None = None) -> None:
        self._where = where
        self._http = http or httpx.AsyncClient()

    async def run(self, steps: Steps[T]) -> T:
        """What a call comes to that gives nothing on its way."""
        course = _Course(steps, self._http, self._where)
        try:
            while course.effect is not None:
                await course.go_on()
        finally:
            await course.close()
        result: T = course.result
        return result

    async def iterate(self, steps: Steps[Any]) -> AsyncGenerator[Any, None]:
        """What a call gives. Closing the iterator early closes what is open."""
        course = _Course(steps, self._http, self._where)
        try:
            while (effect := course.effect) is not None:
                if isinstance(effect, YieldEffect):
                    for value in effect.values:
                        yield value
                await course.go_on()
        finally:
            await course.close()

    async def close(self) -> None:
        await self._http.aclose()


class _Course:
    """One call, the effect that it waits for, and the answer that it has open."""

    def __init__(self, steps: Steps[Any], http: httpx.AsyncClient, where: Address) -> None:
        self._steps, self._http, self._where = steps, http, where
        self._response: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        #: None at the call's end, which came to ``result``.
        self.effect: Effect | None = None
        self.result: Any = None
        self._advance(lambda: next(steps))

    async def go_on(self) -> None:
        try:
            outcome = await self._do(self.effect)
        except (httpx.HTTPError, httpx.StreamError) as error:
            failure = lost(error)
            self._advance(lambda: self._steps.throw(failure))
        else:
            self._advance(lambda: self._steps.send(outcome))

    def _advance(self, step: Callable[[], Effect]) -> None:
        try:
            self.effect = step()
        except StopIteration as end:  # which may not leave a coroutine
            self.effect, self.result = None, end.value

    async def _do(self, effect: Effect | None) -> Any:
        match effect:
            case PauseEffect(seconds):
                await self._close_answer()
                await asyncio.sleep(seconds)
            case OpenEffect(request) | SendEffect(request):
                return await self._answer(request, is_whole=isinstance(effect, SendEffect))
            case ReadEffect():
                return b"" if self._chunks is None else await anext(self._chunks, b"")
        return None

    async def _answer(self, request: HttpRequest, is_whole: bool) -> HttpResponse:
        await self._close_answer()
        content = _chunks(request.body) if request.body else None
        built = self._http.build_request(**arguments(self._where, request), content=content)
        response = self._response = await self._http.send(built, stream=True)
        if is_whole or response.status_code >= 300:
            read = await response.aread()
            await self._close_answer()
            return HttpResponse(response.status_code, response.headers, read)
        self._chunks = response.aiter_bytes()
        return HttpResponse(response.status_code, response.headers)

    async def close(self) -> None:
        await self._close_answer()
        self._steps.close()

    async def _close_answer(self) -> None:
        if self._response is not None:
            await self._response.aclose()
            self._response = None


async def _chunks(spool: Spool) -> AsyncIterator[bytes]:
    for chunk in spool.chunks():
        yield chunk
