"""The API over real connections, and a proxy in front of it that cuts them."""

import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from tests.servers import wait_until

_BLOCK = 4096


@contextmanager
def over_http(app: ASGIApp) -> Iterator[str]:
    """Runs the app on a real server, for tests in which connections break."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started)
    try:
        yield "http://{}:{}".format(*server.servers[0].sockets[0].getsockname())
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@dataclass(frozen=True)
class Cut:
    """Resets a connection after this many bytes from the caller to the API, or back."""

    n_bytes: int
    is_answer: bool


@contextmanager
def cutting(url: str, cuts: Sequence[Cut]) -> Iterator[str]:
    """The URL of a proxy that applies one cut to each of the first connections, and forwards the others."""
    host, port = url.removeprefix("http://").split(":")
    left = list(cuts)
    stopped = threading.Event()
    threads: list[threading.Thread] = []

    def accept(server: socket.socket) -> None:
        while not stopped.is_set():
            with suppress(TimeoutError):
                connection, _ = server.accept()
                cut = left.pop(0) if left else None
                threads.append(threading.Thread(target=_serve, args=(connection, (host, int(port)), cut)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)
        accepting = threading.Thread(target=accept, args=(server,))
        accepting.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            stopped.set()
            for thread in (accepting, *threads):
                thread.join(30)
                assert not thread.is_alive()


def _serve(caller: socket.socket, upstream: tuple[str, int], cut: Cut | None) -> None:
    with caller, socket.create_connection(upstream) as api:
        limits = [None, None] if cut is None else [None, cut.n_bytes] if cut.is_answer else [cut.n_bytes, None]
        ways = [
            threading.Thread(target=_forward, args=(caller, api, limits[0], caller)),
            threading.Thread(target=_forward, args=(api, caller, limits[1], caller)),
        ]
        for way in ways:
            way.start()
        for way in ways:
            way.join()


def _forward(source: socket.socket, sink: socket.socket, limit: int | None, caller: socket.socket) -> None:
    """Forwards until the source ends. At the limit it resets the caller's connection."""
    n_left = limit
    with suppress(OSError):
        while data := source.recv(_BLOCK if n_left is None else max(1, min(_BLOCK, n_left))):
            sink.sendall(data if n_left is None else data[:n_left])
            if n_left is not None:
                n_left -= len(data)
                if n_left <= 0:
                    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
    for each in (source, sink):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
