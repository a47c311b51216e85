"""Carries out the effects of calls with httpx and sleeps: the blocking one of two."""

import time
from collections.abc import Generator, Iterator
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

T = TypeVar("T")


class BlockingTransport:
    """Threads may share it: each call has its own answer open."""

    def __init__(self, where: Address, http: httpx.Client | None = None) -> None:
        self._where = where
        self._http = http or httpx.Client()

    def run(self, steps: Steps[T]) -> T:
        """What a call comes to that gives nothing on its way."""
        running = self.iterate(steps)
        try:
            next(running)
        except StopIteration as end:
            result: T = end.value
            return result
        raise AssertionError("what gives is iterated over")

    def iterate(self, steps: Steps[T]) -> Generator[Any, None, T]:
        """What a call gives. Ending the iteration early closes what is open."""
        run = _Run(self._http, self._where)
        try:
            effect = next(steps)
            while True:
                if isinstance(effect, YieldEffect):
                    yield from effect.values
                try:
                    outcome = run.do(effect)
                except (httpx.HTTPError, httpx.StreamError) as error:
                    effect = steps.throw(lost(error))
                else:
                    effect = steps.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            run.close()
            steps.close()

    def close(self) -> None:
        self._http.close()


class _Run:
    """One call, and the answer that it has open."""

    def __init__(self, http: httpx.Client, where: Address) -> None:
        self._http, self._where = http, where
        self._response: httpx.Response | None = None
        self._chunks: Iterator[bytes] = iter(())

    def do(self, effect: Effect) -> Any:
        match effect:
            case PauseEffect(seconds):
                self.close()
                time.sleep(seconds)
            case OpenEffect(request) | SendEffect(request):
                return self._answer(request, is_whole=isinstance(effect, SendEffect))
            case ReadEffect():
                return next(self._chunks, b"")
        return None

    def _answer(self, request: HttpRequest, is_whole: bool) -> HttpResponse:
        self.close()
        content = request.body.chunks() if request.body else None
        built = self._http.build_request(**arguments(self._where, request), content=content)
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
