"""A connection that ends at a deadline, whatever the other side does.

A time-out for each read would not stop a receiver that sends one byte per second. So no call may take longer than the
time that is left until the deadline. A receiver that sends too much is cut off after ``MAX_BYTES``.
"""

import math
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpcore

#: More than the largest headers that h11 accepts (100 KiB) and one read of the body (64 KiB).
MAX_BYTES = 256 * 1024


class Deadline:
    """A moment on the monotonic clock. All streams that share this object end then."""

    def __init__(self, at: float = math.inf) -> None:
        self._at = at

    def shorten(self, seconds: float) -> None:
        """Moves the deadline to ``seconds`` from now, unless it is earlier already."""
        self._at = min(self._at, time.monotonic() + seconds)

    def within(self, seconds: float | None) -> "Deadline":
        """A separate deadline, ``seconds`` from now but not after this one."""
        return Deadline(self._at if seconds is None else min(self._at, time.monotonic() + seconds))

    def remaining(self, timeout: float | None = None) -> float | None:
        """Seconds that a call may take, ``timeout`` at most; None if there is no limit.

        Raises ``TimeoutError`` if the deadline has passed.
        """
        left = min(math.inf if timeout is None else timeout, self._at - time.monotonic())
        if left <= 0:
            raise TimeoutError
        return None if left == math.inf else left


class DeadlineStream(httpcore.NetworkStream):
    """A connected socket as a stream for httpcore, which ends at ``deadline``."""

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


def error_code(error: OSError) -> str:
    """The short name of a socket's error, which the list of deliveries shows."""
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
    """Raises httpcore's errors instead of a socket's. After one in a write, httpcore still reads for an early answer.

    The message of ``broken`` is the error's code, because httpcore's pool drops the cause of an error.
    """
    try:
        yield
    except TimeoutError as error:
        raise late from error
    except OSError as error:
        raise broken(error_code(error)) from error
