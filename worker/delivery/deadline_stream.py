"""A connection that ends by the clock: whatever the other side does, it is not held beyond its deadline.

A timeout for each read is no limit for a receiver that drips a byte a second, so every call waits for what is
left until the deadline at most. A receiver that floods instead is cut off after ``MAX_BYTES``.
"""

import math
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpcore

#: Above the headers h11 puts up with (100 KiB) and one read of the body (64 KiB).
MAX_BYTES = 256 * 1024


class Deadline:
    """A moment on the monotonic clock at which everything that holds this object ends."""

    def __init__(self, at: float = math.inf) -> None:
        self._at = at

    def shorten(self, seconds: float) -> None:
        """Ends in ``seconds`` from now, unless it does sooner."""
        self._at = min(self._at, time.monotonic() + seconds)

    def within(self, seconds: float | None) -> "Deadline":
        """A deadline of its own, ``seconds`` from now and not after this one."""
        return Deadline(self._at if seconds is None else min(self._at, time.monotonic() + seconds))

    def remaining(self, timeout: float | None = None) -> float | None:
        """Seconds that a call may take, ``timeout`` at most; None for no limit.

        Raises ``TimeoutError`` when the moment is past.
        """
        left = min(math.inf if timeout is None else timeout, self._at - time.monotonic())
        if left <= 0:
            raise TimeoutError
        return None if left == math.inf else left


class DeadlineStream(httpcore.NetworkStream):
    """A connected socket as httpcore's stream, over at ``deadline``."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline
        self._bytes_left = MAX_BYTES

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._bytes_left <= 0:
            raise httpcore.RemoteProtocolError("the answer is too long")
        with translated(httpcore.ReadTimeout, httpcore.ReadError):
            self._sock.settimeout(self._deadline.remaining(timeout))
            data = self._sock.recv(max_bytes)
        self._bytes_left -= len(data)
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        unsent = memoryview(buffer)
        with translated(httpcore.WriteTimeout, httpcore.WriteError):
            while unsent:
                self._sock.settimeout(self._deadline.remaining(timeout))
                unsent = unsent[self._sock.send(unsent) :]

    def close(self) -> None:
        self._sock.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "DeadlineStream":
        try:
            with translated(httpcore.ConnectTimeout, httpcore.ConnectError):
                self._sock.settimeout(self._deadline.remaining(timeout))
                wrapped = ssl_context.wrap_socket(self._sock, server_hostname=server_hostname)
        except BaseException:
            self.close()
            raise
        return DeadlineStream(wrapped, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._sock if info == "socket" else None


def code_of(error: OSError) -> str:
    """The short name of a socket's failure, such as a delivery's list shows."""
    match error:
        case ssl.SSLError():
            return "tls"
        case ConnectionRefusedError():
            return "connect_refused"
        case ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
            return "reset"
        case _:
            return "unreachable"


@contextmanager
def translated(late: type[httpcore.TimeoutException], broken: type[httpcore.NetworkError]) -> Iterator[None]:
    """httpcore's errors for a socket's: after a broken write it still reads, for an early answer.

    The message of ``broken`` is the failure's code: httpcore's pool takes causes away.
    """
    try:
        yield
    except TimeoutError as error:
        raise late from error
    except OSError as error:
        raise broken(code_of(error)) from error
