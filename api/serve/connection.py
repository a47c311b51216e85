"""One connection of a caller: uvicorn's, with limits on size and time that hold before a key is checked.

uvicorn bounds neither the size nor the number of headers, waits for half a request for ever, and puts the trailers of
a chunked body among the headers. This class counts bytes as they arrive, and the gate looks at it every second.
"""

import asyncio
import fcntl
import termios
from contextlib import suppress
from struct import Struct
from typing import Any, Never

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.page.live import EVENTS_PATH
from api.problem import Problem
from api.serve import head
from api.serve.gate import LOOK_SECONDS, Gate

#: A body, or an answer, moves if at least this many bytes of it pass within its limit of time.
_PROGRESS_BYTES = 16 * 2**10
_NUMBER = Struct("i")
#: How long a caller who was refused may take to read why.
_LINGER_LOOKS = 2
#: Requests that a caller may send ahead of their answers. Each waits in memory.
_MAX_IN_LINE = 16


class GuardedConnection(HttpToolsProtocol):
    """Answers what breaks a limit, and hears no more of that caller.

    The parser's calls come in the order of a message: begin, URL, headers, their end, body, end.
    """

    def __init__(self, *, gate: Gate, **given: Any) -> None:
        super().__init__(**given)
        self._gate = gate
        current = gate.settings
        self._max_body_bytes = max(current.max_body_bytes, current.max_file_bytes + head.MAX_ALL_HEADERS_BYTES)
        self._since = 0.0
        self._problem = head.MALFORMED
        #: The request that the app works on. ``self.cycle`` is the last one that arrived.
        self._running: RequestResponseCycle | None = None
        self._is_refused = False
        self._is_replayed = False
        self._is_in_body = False
        #: Bytes since the parser last passed on a head or a piece of a body. They fill its memory, or are of no use.
        self._n_pending = 0
        self._n_headers = 0
        self._n_header_bytes = 0
        self._n_body = 0
        #: Looks since the body or the answer last moved, and how many bytes were then received, or left to write.
        self._looks = 0
        self._mark: int | None = None
        self.url = b""

    # What the gate sees

    @property
    def waits_since(self) -> float | None:
        is_busy = self._is_in_body or self._is_refused or (self.cycle is not None and not self.cycle.response_complete)
        return None if is_busy else self._since

    def abort(self) -> None:
        """Ends the connection at once, and what was not written is lost."""
        self.transport.abort()

    def look(self) -> None:
        """Ends the connection if what it waits for takes too long."""
        current = self._gate.settings
        since = self.waits_since
        if self.transport.is_closing() or self.flow.write_paused:
            if self._is_still(self._n_unread(), current.download_seconds):
                self.abort()
        elif self._is_refused:
            if self._is_still(0, _LINGER_LOOKS):
                self.transport.close()
        elif self._is_in_body:
            self._look_at_body()
        elif since is not None and self.loop.time() - since > current.header_seconds:
            # An idle connection is closed without a word: a 408 could be taken for the answer to its next request.
            self._refuse(head.LATE_HEAD) if self._n_pending else self.transport.close()

    def _n_unread(self) -> int:
        """Bytes of the answer that the caller's machine has not taken: those here, and those in the kernel.

        Linux may take megabytes before it takes more, so ours alone can stand still while somebody reads.
        """
        n_taken = 0
        with suppress(OSError, ValueError):  # the socket is closed, or the system does not say
            [n_taken] = _NUMBER.unpack(fcntl.ioctl(self.transport.get_extra_info("socket"), termios.TIOCOUTQ, bytes(4)))
        return self.transport.get_write_buffer_size() + n_taken

    def _look_at_body(self) -> None:
        if self.flow.read_paused or (self.cycle.waiting_for_100_continue and not self.cycle.response_complete):
            return  # the API is slow, not the caller
        # After an answer, nobody wants the rest of the body. It is read only so that the caller reads the answer.
        received = 0 if self.cycle.response_complete else self._n_body
        if self._is_still(received, self._gate.settings.body_seconds):
            self._refuse(head.SLOW_BODY)

    def _is_still(self, position: int, seconds: float) -> bool:
        """Whether no ``_PROGRESS_BYTES`` have passed in this time."""
        if self._mark is None or abs(position - self._mark) >= _PROGRESS_BYTES:
            self._mark, self._looks = position, 0
        self._looks += 1
        return self._looks * LOOK_SECONDS > seconds

    # What the transport calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self.loop.time()
        if problem := self._gate.admit(self, self.client and self.client[0]):
            self._refuse(problem)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gate.forget(self)
        self._leave()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops. Live figures have no end that it could wait for; their viewers come back by themselves."""
        super().shutdown()
        if self._running is not None and self._running.scope["path"].startswith(EVENTS_PATH):
            self.transport.close()

    def resume_writing(self) -> None:
        self._mark = None
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        while data and not self._is_refused:
            self._n_pending += len(data)
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as found:
                data = data[found.args[0] :]
                self._ignore_upgrade()
            except httptools.HttpParserError:
                self._refuse(self._problem)
            else:
                if self._n_pending > head.MAX_ALL_HEADERS_BYTES:
                    self._refuse(head.LARGE_HEAD)
                return

    def _ignore_upgrade(self) -> None:
        """Goes on with HTTP/1.1, as a server may. The old parser would take the body for another protocol."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._is_replayed = True
        self.parser.feed_data(head.framing(self.headers))
        self._is_replayed = False

    def _refuse(self, problem: Problem) -> None:
        """Answers, unless another answer was begun, and hears no more. To the app, the caller has gone."""
        self._gate.refusals.count(problem.status)
        self._is_refused = True
        self._mark = None
        if self._is_in_body:
            may_answer = not self.cycle.response_started and not self.pipeline
        else:
            may_answer = self.cycle is None or self.cycle.response_complete
        self._leave()
        if not may_answer or self.transport.is_closing():
            self.transport.close()
            return
        self.flow.resume_reading()
        path = self.url.partition(b"?")[0].decode("latin-1")
        self.transport.write(head.answer(problem, self._gate.forms.of(path), self.server_state.default_headers))
        # Closing now would reset the connection, and the answer could be lost with it.
        self.transport.write_eof()

    def _leave(self) -> None:
        """Makes the app see that the caller has gone."""
        self.pipeline.clear()
        if self._running is not None:
            self._running.disconnected = True
            self._running.waiting_for_100_continue = False
            self._running.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    # What the parser calls

    def _stop(self, problem: Problem) -> Never:
        self._problem = problem
        raise ValueError(problem.title)  # ends the parser's work; ``data_received`` then refuses

    def on_message_begin(self) -> None:
        if not self._is_replayed:
            self._n_headers = self._n_header_bytes = 0
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._is_replayed:
            super().on_url(url)
            if len(self.url) > head.MAX_URL_BYTES:
                self._stop(head.LONG_URL)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_replayed:
            return
        size = len(name) + len(value)
        self._n_headers += 1
        self._n_header_bytes += size
        if (
            size > head.MAX_HEADER_BYTES
            or self._n_headers > head.MAX_HEADERS
            or self._n_header_bytes > head.MAX_ALL_HEADERS_BYTES
        ):
            self._stop(head.LARGE_HEAD)
        if not self._is_in_body:  # otherwise it is a trailer, which must not be taken for a header
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._is_replayed:
            return
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if problem := head.problem(method, version, self.headers, self._max_body_bytes):
            self._stop(problem)
        if len(self.pipeline) >= _MAX_IN_LINE:
            self._stop(head.TOO_MANY_IN_LINE)
        super().on_headers_complete()
        self._is_in_body = True
        self._n_pending = self._n_body = 0
        self._mark = None

    def on_body(self, body: bytes) -> None:
        self._n_pending = 0
        self._n_body += len(body)
        if self._n_body > self._max_body_bytes:
            self._stop(head.large_body(self._max_body_bytes))
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # not yet: the parser takes the body for another protocol
        super().on_message_complete()
        self._is_in_body = False
        self._n_pending = 0
        self._since = self.loop.time()

    def on_response_complete(self) -> None:
        self._since = self.loop.time()
        self._mark = None
        if self._is_in_body and self.expect_100_continue and not self._n_body:
            self.transport.close()  # the caller may send its next request now, where the parser expects a body
        super().on_response_complete()
