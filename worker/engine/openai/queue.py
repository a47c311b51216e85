"""Sends the requests of a batch to a server: as many concurrent ones as it can take, and retries if that may help."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from random import Random

from worker.engine.openai.concurrency import Concurrency
from worker.engine.openai.server import AttemptFailed
from worker.engine.protocol import Completion

#: The first and the longest pause before another attempt. Pauses double, and are then shortened by up to a half.
_FIRST_PAUSE_SECONDS = 0.5
_MAX_PAUSE_SECONDS = 30.0
#: The most attempts of a request. If the server says it is overloaded, there may be more, until the patience is over.
_MAX_ATTEMPTS = 4

_jitter = Random()  # noqa: S311 — jitter that keeps workers from retrying together, not a secret


@dataclass(slots=True)
class PendingRequest:
    """A request that is not answered yet, and its attempts."""

    send: Callable[[], Awaitable[Completion]]
    since: float
    n_attempts: int = 0
    began_at: float = 0.0


class RequestQueue:
    """Retries a request at most ``patience_seconds`` after its first attempt began."""

    def __init__(self, concurrency: Concurrency, patience_seconds: float) -> None:
        self._concurrency = concurrency
        self._patience_seconds = patience_seconds
        #: No request is sent before this time, because the server requested a pause.
        self._resumes_at = 0.0

    async def answers(
        self, sends: Iterable[Callable[[], Awaitable[Completion]]]
    ) -> AsyncGenerator[Completion | AttemptFailed, None]:
        """Yields each request's completion, or its last failure, in the order in which they end."""
        order = count()
        waiting = [(0.0, next(order), PendingRequest(send, 0.0)) for send in sends]
        running: dict[asyncio.Task[Completion], PendingRequest] = {}
        try:
            while waiting or running:
                pause = self._begin(waiting, running)
                if not running:
                    await asyncio.sleep(pause or 0.0)
                    continue
                done, _ = await asyncio.wait(running, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    pending = running.pop(task)
                    error = task.exception()
                    if error is None:
                        self._record(pending, task.result())
                        yield task.result()
                    elif not isinstance(error, AttemptFailed):
                        raise error
                    elif (retry_at := self._retry_at(pending, error)) is None:
                        yield error
                    else:
                        heappush(waiting, (retry_at, next(order), pending))
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _begin(
        self, waiting: list[tuple[float, int, PendingRequest]], running: dict[asyncio.Task[Completion], PendingRequest]
    ) -> float | None:
        """Sends all requests that may be sent now.

        Returns the seconds until the next one may be sent, or ``None`` if it waits for a running one to end.
        """
        while waiting and len(running) < self._concurrency.limit:
            now = time.monotonic()
            pause = max(waiting[0][0], self._resumes_at) - now
            if pause > 0:
                return pause
            _, _, pending = heappop(waiting)
            pending.began_at = now
            pending.since = pending.since or now
            pending.n_attempts += 1
            running[asyncio.ensure_future(pending.send())] = pending
        return None

    def _record(self, pending: PendingRequest, completion: Completion) -> None:
        self._concurrency.record_answer(time.monotonic() - pending.began_at, len(completion.tokens))

    def _retry_at(self, pending: PendingRequest, failure: AttemptFailed) -> float | None:
        """When to retry the request, by the monotonic clock; ``None`` if it is not retried."""
        now = time.monotonic()
        longest = min(_FIRST_PAUSE_SECONDS * 2 ** (pending.n_attempts - 1), _MAX_PAUSE_SECONDS)
        retry_at = now + max(longest * _jitter.uniform(0.5, 1.0), failure.retry_after)
        if failure.is_overload:
            self._concurrency.record_refusal(pending.began_at, now)
            self._resumes_at = max(self._resumes_at, now + min(failure.retry_after, self._patience_seconds))
        is_last = not failure.is_overload and pending.n_attempts >= _MAX_ATTEMPTS
        is_late = retry_at > pending.since + self._patience_seconds
        return None if is_last or is_late or not failure.may_pass else retry_at
