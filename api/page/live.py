"""Figures that change while they are looked at, as server-sent events.

All viewers of one thing in this process share one look at the ledger every two seconds, and nobody looks while nobody
views. A stream ends with what it shows, and after ten minutes: then the browser comes back, and its key is counted and
checked like that of any other request.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable
from contextlib import suppress
from typing import NamedTuple
from uuid import UUID

from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool

from lengthwise import logs
from lengthwise.errors import NotFound, TooBusy, Unauthorized, Unavailable

log = logging.getLogger(__name__)

#: Where the routes of all streams begin.
EVENTS_PATH = "/page/events"
#: The pause between two looks: two seconds, or this many times what the last look took.
_PAUSE_SECONDS = 2.0
_PAUSE_FACTOR = 10
#: A browser or a proxy may give up a stream that says nothing for long.
_SILENT_SECONDS = 15.0
_STREAM_SECONDS = 600.0
#: Streams of one key. A browser keeps six connections to one server.
MOST_STREAMS = 8


class Frame(NamedTuple):
    """What viewers see: a piece of HTML that replaces the one before. After the last one nothing changes any more."""

    html: str
    is_last: bool = False


Look = Callable[[], Frame]


class _Topic:
    """One thing that is viewed, and its latest frame."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self.n_viewers = 0
        #: Looks that began, the last of them that succeeded, and the first one that the newest viewer waits for.
        self.n_looks = self.looked = self.awaited = 0
        self.n_frames = 0
        self.frame = Frame("")
        self.changed = asyncio.Event()

    def publish(self, frame: Frame) -> None:
        """Shows the frame of the latest look to those who have not seen it."""
        is_new, self.looked = frame != self.frame, self.n_looks
        self.frame = frame
        self.n_frames += is_new
        if is_new or self.looked <= self.awaited:
            self.changed.set()
            self.changed = asyncio.Event()


class LiveFigures:
    """The streams of one process. Used by one event loop."""

    def __init__(self, pause_seconds: float = _PAUSE_SECONDS) -> None:
        self._pause_seconds = pause_seconds
        self._topics: dict[Hashable, _Topic] = {}
        self._streams: Counter[UUID] = Counter()
        self._looking: set[asyncio.Task[None]] = set()

    def require_room(self, key_id: UUID) -> None:
        """Raises ``TooBusy`` if this key has as many streams as it may have."""
        if self._streams[key_id] >= MOST_STREAMS:
            raise TooBusy(f"this key has {MOST_STREAMS} live pages open, which is the limit", retry_after=30)

    async def stream(
        self, key_id: UUID, what: Hashable, look: Look, check: Callable[[], Awaitable[object]]
    ) -> AsyncGenerator[bytes, None]:
        """The events for one viewer of ``what``, which ``look`` reads. ``check`` raises once the key is not valid."""
        self._streams[key_id] += 1
        topic = self._join(what, look)
        try:
            with suppress(Unauthorized, Unavailable):
                async for frame in _frames(topic):
                    await check()
                    yield b": nothing new\n\n" if frame is None else _event(frame)
        finally:
            topic.n_viewers -= 1
            self._streams[key_id] -= 1
            if not self._streams[key_id]:
                del self._streams[key_id]

    async def close(self) -> None:
        """Ends all looks."""
        for looking in self._looking:
            looking.cancel()
        await asyncio.gather(*self._looking, return_exceptions=True)

    def _join(self, what: Hashable, look: Look) -> _Topic:
        topic = self._topics.get(what)
        if topic is None:
            topic = self._topics[what] = _Topic(look)
            looking = asyncio.create_task(self._keep_looking(what, topic))
            self._looking.add(looking)
            looking.add_done_callback(self._looking.discard)
        topic.n_viewers += 1
        return topic

    async def _keep_looking(self, what: Hashable, topic: _Topic) -> None:
        try:
            with logs.bound(request=None, trace=None):  # what the first viewer's request bound is not about the others
                await self._look_again_and_again(topic)
        except NotFound:
            log.debug("what was viewed is gone")
        except Exception as error:
            log.error("a live page ended: unexpected %s", type(error).__name__, extra=logs.raised(error))
        finally:
            del self._topics[what]
            if not topic.frame.is_last:
                topic.publish(Frame(topic.frame.html, is_last=True))

    async def _look_again_and_again(self, topic: _Topic) -> None:
        while topic.n_viewers and not topic.frame.is_last:
            began = time.monotonic()
            with suppress(Unavailable):  # the figures stay as they were
                topic.n_looks += 1
                topic.publish(await run_in_threadpool(topic.look))
            await asyncio.sleep(max(self._pause_seconds, _PAUSE_FACTOR * (time.monotonic() - began)))


async def _frames(topic: _Topic) -> AsyncIterator[Frame | None]:
    """Each new frame; None if there was none for a while. Ends after the last one, or after ten minutes.

    The first one is of a look that begins from now on: an older one may show less than the page that the viewer has.
    """
    seen, ends_at = 0, time.monotonic() + _STREAM_SECONDS
    awaited = topic.awaited = topic.n_looks + 1
    while time.monotonic() < ends_at:
        changed = topic.changed
        if topic.n_frames > seen and (topic.looked >= awaited or topic.frame.is_last):
            seen, frame = topic.n_frames, topic.frame
            yield frame
            if frame.is_last:
                return
            continue
        try:
            async with asyncio.timeout(_SILENT_SECONDS):
                await changed.wait()
        except TimeoutError:
            yield None


def _event(frame: Frame) -> bytes:
    """One line of JSON, in which no end of a line stands that could begin another event."""
    name = b"over" if frame.is_last else b"figures"
    return b"event: " + name + b"\ndata: " + to_json({"html": frame.html}) + b"\n\n"
