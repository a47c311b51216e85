"""Dialling: one lookup, every address checked, and only checked addresses dialled. All sockets are on loopback."""

import contextlib
import socket
import time
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import httpcore
import pytest

from lengthwise.webhooks.target import ForbiddenAddress, Unresolvable
from worker.delivery.deadline_stream import Deadline
from worker.delivery.guarded_dialer import GuardedBackend

LOOPBACK = (ip_network("127.0.0.0/8"),)


class Names:
    """A fake resolver: each lookup takes the next answer, and the last one again."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.n_lookups = 0

    def getaddrinfo(self, _host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        self.n_lookups += 1
        found = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]


class Dials:
    """Records the dialled addresses. An address outside of loopback is dialled on loopback instead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: list[str] = []
        dials = self

        class Socket(socket.socket):
            def connect(self, address: Any) -> None:
                dials.addresses.append(address[0])
                super().connect(address if address[0].startswith("127.") else ("127.0.0.1", address[1]))

        monkeypatch.setattr(socket, "socket", Socket)


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def port_of(server: socket.socket) -> int:
    port: int = server.getsockname()[1]
    return port


def stub(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> Names:
    names = Names(*answers)
    monkeypatch.setattr(socket, "getaddrinfo", names.getaddrinfo)
    return names


def test_a_name_that_later_resolves_to_loopback_is_dialled_at_the_checked_address(
    monkeypatch: pytest.MonkeyPatch, receiver: socket.socket
) -> None:
    names = stub(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])
    dials = Dials(monkeypatch)
    GuardedBackend().connect_tcp("rebinding.example", port_of(receiver), timeout=5).close()
    assert dials.addresses == ["8.8.8.8"]
    assert names.n_lookups == 1
    with pytest.raises(ForbiddenAddress):
        GuardedBackend().connect_tcp("rebinding.example", port_of(receiver), timeout=5)
    assert dials.addresses == ["8.8.8.8"]
    assert names.n_lookups == 2


@pytest.mark.parametrize("answer", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["8.8.8.8", "::ffff:127.0.0.1"]])
def test_nothing_is_dialled_if_one_of_the_addresses_is_forbidden(
    monkeypatch: pytest.MonkeyPatch, answer: list[str]
) -> None:
    stub(monkeypatch, answer)
    dials = Dials(monkeypatch)
    with pytest.raises(ForbiddenAddress):
        GuardedBackend().connect_tcp("mixed.example", 80, timeout=5)
    assert dials.addresses == []


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "017700000001", "127.1", "localhost"])
def test_an_odd_notation_of_loopback_is_refused_with_the_real_resolver_too(host: str) -> None:
    with pytest.raises((ForbiddenAddress, Unresolvable)):
        GuardedBackend().connect_tcp(host, 80, timeout=5)


def test_if_one_address_refuses_the_next_is_dialled(monkeypatch: pytest.MonkeyPatch, receiver: socket.socket) -> None:
    # The receiver listens on 127.0.0.1 alone; the other loopback addresses refuse.
    names = stub(monkeypatch, ["127.0.0.2", "127.0.0.3", "127.0.0.1"])
    stream = GuardedBackend(LOOPBACK).connect_tcp("receiver.example", port_of(receiver), timeout=5)
    assert stream.get_extra_info("socket").getpeername()[0] == "127.0.0.1"
    stream.close()
    assert names.n_lookups == 1


def test_if_all_addresses_refuse_the_last_refusal_is_raised(
    monkeypatch: pytest.MonkeyPatch, receiver: socket.socket
) -> None:
    stub(monkeypatch, ["127.0.0.2", "127.0.0.3"])
    with pytest.raises(httpcore.ConnectError, match="connect_refused"):
        GuardedBackend(LOOPBACK).connect_tcp("receiver.example", port_of(receiver), timeout=5)


def test_an_address_that_swallows_packets_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.ExitStack() as stack:
        # A listener with a full backlog accepts no further connection, like an address that swallows packets.
        hole = stack.enter_context(socket.create_server(("127.0.0.2", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        receiver = stack.enter_context(socket.create_server(("127.0.0.1", port_of(hole))))
        stub(monkeypatch, ["127.0.0.2", "127.0.0.1"])
        begun = time.monotonic()
        stream = GuardedBackend(LOOPBACK).connect_tcp("receiver.example", port_of(receiver), timeout=1)
        assert stream.get_extra_info("socket").getpeername()[0] == "127.0.0.1"
        stream.close()
        assert time.monotonic() - begun < 10


def test_nothing_is_dialled_after_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    names = stub(monkeypatch, ["127.0.0.1"])
    with pytest.raises(httpcore.ConnectTimeout):
        GuardedBackend(LOOPBACK, Deadline(time.monotonic() - 1)).connect_tcp("receiver.example", 80, timeout=5)
    assert names.n_lookups == 0


def test_a_unix_socket_is_refused() -> None:
    with pytest.raises(httpcore.ConnectError):
        GuardedBackend(LOOPBACK).connect_unix_socket("/var/run/docker.sock")
