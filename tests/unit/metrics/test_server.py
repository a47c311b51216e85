"""The server of metrics: it shows nothing else, and whoever reaches it can hold it for seconds at most."""

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from prometheus_client import CollectorRegistry, Gauge

from lengthwise.metrics import server
from lengthwise.metrics.server import MetricsServer
from lengthwise.settings import Settings
from tests.servers import free_port, wait_until


class Patient:
    """A health that a test sets."""

    def __init__(self) -> None:
        self.is_hung = self.is_unready = False

    def hung(self) -> list[str]:
        return ["it hangs"] if self.is_hung else []

    def unready(self) -> list[str]:
        return ["it loads"] if self.is_unready else []


@pytest.fixture
def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Gauge("answer", "The answer.", registry=made).set(42)
    return made


@pytest.fixture
def health() -> Patient:
    return Patient()


@contextmanager
def running(port: int, registry: CollectorRegistry, health: Patient | None = None) -> Iterator[int]:
    serving = MetricsServer("127.0.0.1", port, registry, health)
    serving.start()
    try:
        wait_until(lambda: is_open(port))
        yield port
    finally:
        serving.stop()


@pytest.fixture
def port(registry: CollectorRegistry, health: Patient) -> Iterator[int]:
    with running(free_port(), registry, health) as opened:
        yield opened


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def send(port: int, sent: bytes) -> bytes:
    """All that the server answers until it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(sent)
        return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    answer = b""
    try:
        while received := connection.recv(65_536):
            answer += received
    except ConnectionResetError:  # it closed the connection without reading all of it
        pass
    return answer


def get(port: int, path: str, *headers: str) -> tuple[int, bytes, bytes]:
    """The status, the headers and the body."""
    lines = [f"GET {path} HTTP/1.1", "Host: here", *headers, "", ""]
    head, _, body = send(port, "\r\n".join(lines).encode()).partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


def test_it_shows_the_registry_as_text(port: int) -> None:
    status, head, body = get(port, "/metrics")
    assert status == 200
    assert b"text/plain" in head
    assert b"# TYPE answer gauge\nanswer 42.0\n" in body
    assert get(port, "/metrics?name[]=answer")[0] == 200


def test_it_speaks_openmetrics_to_who_asks_for_it(port: int) -> None:
    _, head, body = get(port, "/metrics", "Accept: application/openmetrics-text;version=1.0.0;q=0.7,text/plain;q=0.3")
    assert b"application/openmetrics-text" in head
    assert body.endswith(b"# EOF\n")


@pytest.mark.parametrize(
    "path",
    ["/", "/metrics/", "/metrics/../metrics", "/%6detrics", "/healthz/", "/debug/pprof", "/v1/jobs", "*"],
)
def test_it_serves_nothing_else(port: int, path: str) -> None:
    status, head, body = get(port, path)
    assert (status, body) == (404, b"")
    assert b"Python" not in head


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_process_without_health_checks_has_none(registry: CollectorRegistry, path: str) -> None:
    with running(free_port(), registry) as opened:
        assert get(opened, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "CaNaRy"])
def test_it_only_reads_and_repeats_nothing(port: int, method: str) -> None:
    answer = send(port, f"{method} /metrics HTTP/1.1\r\nHost: CaNaRy\r\nContent-Length: 3\r\n\r\nabc".encode())
    assert answer.startswith(b"HTTP/1.0 501 ")
    assert answer.endswith(b"\r\n\r\n")
    assert b"CaNaRy" not in answer


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n",
        b"CaNaRy\r\n\r\n",
        b"\x00\xff\xfe CaNaRy \x80\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\nA: CaNaRy\r\n\r\n",
        b"GET /metrics HTTP/CaNaRy\r\n\r\n",
        b"GET  \r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n" + b"A: CaNaRy\r\n" * 200 + b"\r\n",
        b"\x16\x03\x01\x02\x00CaNaRy\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_without_being_repeated(
    port: int, sent: bytes, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    answer = send(port, sent)
    assert b" 200 " not in answer
    assert b"CaNaRy" not in answer
    assert "CaNaRy" not in "".join([*capfd.readouterr(), caplog.text])
    assert get(port, "/metrics")[0] == 200


def test_half_a_head_holds_a_connection_for_a_moment_and_nobody_else(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_SECONDS", 0.5)
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: h")
        assert get(port, "/metrics")[0] == 200
        assert read_all(connection) == b""


def test_a_head_that_comes_byte_by_byte_has_the_same_time(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_SECONDS", 0.5)
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection, pytest.raises(OSError):
        for _ in range(600):
            connection.sendall(b"A")
            time.sleep(0.05)
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("sent", [b"A" * 9_000, b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 2_000])
def test_a_head_that_is_too_long_is_not_answered(port: int, sent: bytes) -> None:
    assert send(port, sent) == b""
    assert get(port, "/metrics")[0] == 200


def test_beyond_its_connections_others_are_closed_at_once(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_MAX_CONNECTIONS", 2)
    monkeypatch.setattr(server, "_SECONDS", 2.0)
    with running(free_port(), registry) as opened:
        time.sleep(0.2)  # the connection that looked whether the port is open has ended
        with (
            socket.create_connection(("127.0.0.1", opened)),
            socket.create_connection(("127.0.0.1", opened)),
        ):
            time.sleep(0.2)
            assert send(opened, b"GET /metrics HTTP/1.1\r\n\r\n") == b""
        wait_until(lambda: send(opened, b"GET /metrics HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.0 200 "))


def test_a_health_check_says_why_it_fails(port: int, health: Patient) -> None:
    assert get(port, "/healthz")[::2] == (200, b'{"status": "ok", "reasons": []}')
    health.is_unready = True
    assert get(port, "/healthz")[0] == 200
    assert get(port, "/readyz")[::2] == (503, b'{"status": "unavailable", "reasons": ["it loads"]}')
    health.is_hung = True
    assert get(port, "/healthz")[::2] == (503, b'{"status": "unavailable", "reasons": ["it hangs"]}')


def test_a_process_takes_the_port_of_the_one_it_replaces(registry: CollectorRegistry) -> None:
    opened = free_port()
    old, new = (MetricsServer("127.0.0.1", opened, registry) for _ in range(2))
    old.start()
    wait_until(lambda: is_open(opened))
    assert get(opened, "/metrics")[0] == 200  # leaves a connection in TIME_WAIT
    new.start()
    old.stop()
    try:
        wait_until(lambda: is_open(opened))
        assert get(opened, "/metrics")[0] == 200
    finally:
        new.stop()


def test_a_port_that_stays_taken_is_one_warning_and_no_failure(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(server, "_PAUSE_SECONDS", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as other, caplog.at_level(logging.WARNING):
        number = other.getsockname()[1]
        serving = MetricsServer("127.0.0.1", number, registry)
        serving.start()
        wait_until(lambda: caplog.messages)
        time.sleep(0.5)
        serving.stop()
    assert caplog.messages == [f"metrics are not served: port {number} cannot be opened (Address already in use)"]


def test_by_default_it_is_off_and_of_this_machine_alone() -> None:
    current = Settings()
    assert (current.metrics_host, current.metrics_port, current.metrics_tenants) == ("127.0.0.1", 0, False)
    assert server.start(current, "api") is None
