"""A TCP proxy in front of a unix socket. It can stall connections, leave them half open, or delay what they send.

It does not know the protocol that it forwards.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self

_CHUNK = 65_536


class Mode(Enum):
    PASS = "pass"
    #: No byte passes in either direction until the mode is PASS again. Then all held bytes pass.
    STALL = "stall"
    #: Connections are accepted and bytes are read, but no answer, FIN or RST ever comes back. Connections that are open
    #: in this mode stay silent for ever; later ones work.
    HALF_OPEN = "half-open"


class Proxy:
    """Listens on the loopback port ``port`` in its own thread while the context is open.

    Every byte is ``delay_seconds`` under way, in each direction, however many there are. ``n_round_trips``: how often a
    client has sent something after an answer.
    """

    def __init__(self, upstream: Path, delay_seconds: float = 0.0) -> None:
        self.port = 0
        self.n_round_trips = 0
        self._delay_seconds = delay_seconds
        self._upstream = upstream
        self._mode = Mode.PASS
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._passing = asyncio.Event()
        self._passing.set()
        self._epoch = 0
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def switch(self, mode: Mode) -> None:
        """Switches the mode. It is in force when this returns."""
        asyncio.run_coroutine_threadsafe(self._switch(mode), self._loop).result()

    async def _switch(self, mode: Mode) -> None:
        self._mode = mode
        if mode is Mode.HALF_OPEN:
            self._epoch += 1  # connections that are open now get no further byte
        (self._passing.clear if mode is Mode.STALL else self._passing.set)()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._passing.wait()
        epoch = -1 if self._mode is Mode.HALF_OPEN else self._epoch
        if epoch < 0:
            await self._swallow(reader)
            return
        up_reader, up_writer = await asyncio.open_unix_connection(self._upstream)
        last: deque[bool] = deque([False], maxlen=1)  # whether the last bytes came from the client
        ways = [
            asyncio.create_task(self._forward(reader, up_writer, epoch, last, is_request=True)),
            asyncio.create_task(self._forward(up_reader, writer, epoch, last, is_request=False)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if epoch != self._epoch:
                await asyncio.wait(ways)  # neither side must notice that the other has gone
        finally:
            for way in ways:
                way.cancel()
            up_writer.close()

    async def _forward(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        epoch: int,
        last: deque[bool],
        *,
        is_request: bool,
    ) -> None:
        read = self._delayed(source) if self._delay_seconds else source.read
        with contextlib.suppress(OSError):
            while data := await read(_CHUNK):
                await self._passing.wait()
                if epoch != self._epoch:
                    await self._swallow(source)
                    return
                self.n_round_trips += is_request and not last[0]
                last.append(is_request)
                sink.write(data)
                await sink.drain()
            if epoch != self._epoch:
                await asyncio.Event().wait()

    def _delayed(self, source: asyncio.StreamReader) -> Callable[[int], Awaitable[bytes]]:
        """Reads from the source with the delay. A task reads ahead, so that bytes are under way at the same time."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def read_ahead() -> None:
            data = b"-"
            while data:
                try:
                    data = await source.read(_CHUNK)
                except OSError:
                    data = b""
                under_way.put_nowait((self._loop.time() + self._delay_seconds, data))

        reading = asyncio.create_task(read_ahead())
        self._tasks.add(reading)
        reading.add_done_callback(self._tasks.discard)

        async def read(_: int) -> bytes:
            due_at, data = await under_way.get()
            await asyncio.sleep(max(0.0, due_at - self._loop.time()))
            return data

        return read

    async def _swallow(self, source: asyncio.StreamReader) -> None:
        while await source.read(_CHUNK):
            pass
