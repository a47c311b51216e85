"""The proxy between lengthwise and its broker: what each mode does to connections."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.proxy import Mode, Proxy


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """A proxy in front of an echo server."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "echo"))
    server.listen()

    def echo(peer: socket.socket) -> None:
        with peer:
            while data := peer.recv(100):
                peer.sendall(data)

    def accept() -> None:
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(peer,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    with server:
        with Proxy(tmp_path / "echo") as made:
            yield made
        server.shutdown(socket.SHUT_RDWR)


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=0.5)


def answer(client: socket.socket, sent: bytes = b"hello") -> bytes:
    client.sendall(sent)
    return client.recv(100)


def test_it_passes_bytes_on(proxy: Proxy) -> None:
    with connected(proxy) as client:
        assert answer(client) == b"hello"


def test_what_was_stalled_comes_through_in_the_end(proxy: Proxy) -> None:
    with connected(proxy) as client:
        assert answer(client) == b"hello"
        proxy.switch(Mode.STALL)
        with pytest.raises(TimeoutError):
            answer(client, b"later")
        proxy.switch(Mode.PASS)
        assert client.recv(100) == b"later"


def test_a_half_open_connection_stays_silent_and_new_ones_work_once_it_is_over(proxy: Proxy) -> None:
    with connected(proxy) as before:
        assert answer(before) == b"hello"
        proxy.switch(Mode.HALF_OPEN)
        with connected(proxy) as during:
            for client in (before, during):
                with pytest.raises(TimeoutError):
                    answer(client)
            proxy.switch(Mode.PASS)
            for client in (before, during):
                with pytest.raises(TimeoutError):
                    answer(client)
            with connected(proxy) as after:
                assert answer(after) == b"hello"
