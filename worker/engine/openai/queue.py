"""The requests of a batch on their way to a server: as many at once as it can take, retried where that may help."""

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

#: Pauses before further attempts, doubling, in seconds; each is drawn from the upper half of its length.
_FIRST_PAUSE_SECONDS = 0.5
_MAX_PAUSE_SECONDS = 30.0
#: Attempts of a request. A server that says it is overloaded is asked more often, until the patience is over.
_MAX_ATTEMPTS = 4

_jitter = Random()  # noqa: S311 — jitter that keeps workers from retrying together, not a secret


@dataclass(slots=True)
class PendingRequest:
    """A request without an answer, and its attempts."""

    ask: Callable[[], Awaitable[Completion]]
    since: float
    n_attempts: int = 0
    began_at: float = 0.0


class RequestQueue:
    """A request is not retried later than ``patience_seconds`` after its first attempt began."""

    def __init__(self, concurrency: Concurrency, patience_seconds: float) -> None:
        self._concurrency = concurrency
        self._patience_seconds = patience_seconds
        #: No request begins before this time, because the server asked for a pause.
        self._resumes_at = 0.0

    async def answers(
        self, asks: Iterable[Callable[[], Awaitable[Completion]]]
    ) -> AsyncGenerator[Completion | AttemptFailed, None]:
        """Yields each request's completion, or its last failure, in the order in which they end."""
        order = count()
        waiting = [(0.0, next(order), PendingRequest(ask, 0.0)) for ask in asks]
        running: dict[asyncio.Task[Completion], PendingRequest] = {}
        try:
            while waiting or running:
                pause = self._begin(waiting, running)
                if not running:
                    await asyncio.sleep(pause or 0.0)
                    continue
                done, _ = await asyncio.wait(running, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    asked = running.pop(task)
                    error = task.exception()
                    if error is None:
                        self._answered(asked, task.result())
                        yield task.result()
                    elif not isinstance(error, AttemptFailed):
                        raise error
                    elif (again_at := self._again_at(asked, error)) is None:
                        yield error
                    else:
                        heappush(waiting, (again_at, next(order), asked))
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _begin(
        self, waiting: list[tuple[float, int, PendingRequest]], running: dict[asyncio.Task[Completion], PendingRequest]
    ) -> float | None:
        """Begins all requests that may begin now.

        Returns the seconds until the next one may, or ``None`` if it has to wait for a running one to end.
        """
        while waiting and len(running) < self._concurrency.limit:
            now = time.monotonic()
            pause = max(waiting[0][0], self._resumes_at) - now
            if pause > 0:
                return pause
            _, _, asked = heappop(waiting)
            asked.began_at = now
            asked.since = asked.since or now
            asked.n_attempts += 1
            running[asyncio.ensure_future(asked.ask())] = asked
        return None

    def _answered(self, asked: PendingRequest, completion: Completion) -> None:
        self._concurrency.answered(time.monotonic() - asked.began_at, len(completion.tokens))

    def _again_at(self, asked: PendingRequest, failure: AttemptFailed) -> float | None:
        """When to retry the request, by ``time.monotonic``; ``None`` if it is not retried."""
        now = time.monotonic()
        longest = min(_FIRST_PAUSE_SECONDS * 2 ** (asked.n_attempts - 1), _MAX_PAUSE_SECONDS)
        again_at = now + max(longest * _jitter.uniform(0.5, 1.0), failure.retry_after)
        if failure.is_overload:
            self._concurrency.refused(asked.began_at, now)
            self._resumes_at = max(self._resumes_at, now + min(failure.retry_after, self._patience_seconds))
        is_last = not failure.is_overload and asked.n_attempts >= _MAX_ATTEMPTS
        is_late = again_at > asked.since + self._patience_seconds
        return None if is_last or is_late or not failure.may_pass else again_at
