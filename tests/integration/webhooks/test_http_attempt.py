"""One attempt against real receivers on loopback, most of them hostile. None may raise or hold the worker."""

import contextlib
import logging
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from worker.delivery.http_attempt import post
from worker.delivery.outcome import AttemptOutcome
from worker.delivery.signing import new_secret, sign

LOOPBACK = (ip_network("127.0.0.0/8"),)
BODY = b'{"id":"evt_1"}'
#: Far longer than any attempt here, and far shorter than a receiver could hold one.
GENEROUS_SECONDS = 20.0

Script = Callable[[socket.socket], None]


class ScriptedReceiver:
    """A server that plays ``script`` on each connection, over TLS if given a context, and counts them."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self._script, self._tls = script, tls
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(0.05)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.connections = 0
        self.port: int = self._server.getsockname()[1]

    def url(self, path: str = "/hook", scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    def __enter__(self) -> "ScriptedReceiver":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(GENEROUS_SECONDS)
        assert not self._thread.is_alive(), "the connection was left open"
        self._server.close()

    def _serve(self) -> None:
        while not self._stopped.is_set():
            try:
                connection, _ = self._server.accept()
            except TimeoutError:
                continue
            self.connections += 1
            connection.settimeout(GENEROUS_SECONDS)
            # Most scripts end because the other side closes the connection.
            with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
                stack.enter_context(connection)
                if self._tls:
                    connection = stack.enter_context(self._tls.wrap_socket(connection, server_side=True))
                self._script(connection)


def read_request(connection: socket.socket) -> tuple[bytes, dict[str, str], bytes]:
    """The request line, the headers in lower case and the body."""
    with connection.makefile("rb") as stream:
        line = stream.readline().strip()
        headers: dict[str, str] = {}
        while header := stream.readline().strip():
            name, _, value = header.decode("ascii").partition(":")
            headers[name.lower()] = value.strip()
        return line, headers, stream.read(int(headers["content-length"]))


def answering(answer: bytes) -> Script:
    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer)

    return script


def endless(start: bytes, more: bytes, pause: float = 0.0) -> Script:
    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(start)
        while True:
            connection.sendall(more)
            time.sleep(pause)

    return script


def silence(connection: socket.socket) -> None:
    """Reads everything and answers nothing, until the other side closes the connection."""
    while connection.recv(65536):
        pass


def attempt(url: str, body: bytes = BODY, timeout: float = GENEROUS_SECONDS, **options: Any) -> AttemptOutcome:
    begun = time.monotonic()
    outcome = post(url, body, {"webhook-id": "evt_1"}, allowed=LOOPBACK, timeout=timeout, **options)
    assert outcome.seconds <= time.monotonic() - begun < GENEROUS_SECONDS
    return outcome


def test_a_signed_webhook_arrives_complete_and_verifies() -> None:
    requests: list[tuple[bytes, dict[str, str], bytes]] = []

    def script(connection: socket.socket) -> None:
        requests.append(read_request(connection))
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    secret = new_secret()
    with ScriptedReceiver(script) as receiver:
        headers = sign([secret], "evt_1", int(time.time()), BODY)
        outcome = post(receiver.url("/a%20b?c=d"), BODY, headers, allowed=LOOPBACK)
    assert outcome.delivered
    assert (outcome.status, outcome.error, outcome.retry_after, outcome.response_excerpt) == (204, None, None, "")
    [(line, received, body)] = requests
    assert line == b"POST /a%20b?c=d HTTP/1.1"
    assert received["host"] == f"127.0.0.1:{receiver.port}"
    assert received["content-type"] == "application/json"
    assert received["connection"] == "close"
    assert Webhook(secret).verify(body, received) == {"id": "evt_1"}


def test_the_answers_status_and_first_characters_are_stored() -> None:
    with ScriptedReceiver(answering(b"HTTP/1.1 500 Oops\r\nContent-Length: 6\r\n\r\nbad\x00\xff!")) as receiver:
        outcome = attempt(receiver.url())
    assert (outcome.status, outcome.error, outcome.delivered) == (500, None, False)
    assert outcome.response_excerpt == "bad\ufffd\ufffd!"


def test_a_410_means_gone() -> None:
    with ScriptedReceiver(answering(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")) as receiver:
        outcome = attempt(receiver.url())
    assert outcome.gone
    assert not outcome.delivered


def test_a_429_carries_its_retry_after() -> None:
    with ScriptedReceiver(
        answering(b"HTTP/1.1 429 Slow Down\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")
    ) as receiver:
        outcome = attempt(receiver.url())
    assert (outcome.status, outcome.retry_after, outcome.delivered) == (429, 7, False)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_its_target_gets_no_request(status: int) -> None:
    with ScriptedReceiver(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as inside:
        location = inside.url().encode()
        answer = b"HTTP/1.1 %d Moved\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % (status, location)
        with ScriptedReceiver(answering(answer)) as receiver:
            outcome = attempt(receiver.url())
        assert (outcome.status, outcome.error, outcome.delivered) == (status, "redirect", False)
        assert receiver.connections == 1
        assert inside.connections == 0


def test_a_refused_connection_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert attempt(f"http://127.0.0.1:{port}/").error == "connect_refused"


def test_a_reset_connection_is_reported() -> None:
    def script(connection: socket.socket) -> None:
        read_request(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with ScriptedReceiver(script) as receiver:
        assert attempt(receiver.url()).error == "reset"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x16\x03\x01\x00\x00garbage\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 999999 Odd\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nBad Header\x00: 1\r\n\r\n",
        b"HTTP/1.1 200",
    ],
)
def test_garbage_instead_of_http_is_reported(answer: bytes) -> None:
    with ScriptedReceiver(answering(answer)) as receiver:
        outcome = attempt(receiver.url())
    assert (outcome.status, outcome.error) == (None, "protocol")


def test_an_unexpected_upgrade_is_not_a_delivery() -> None:
    with ScriptedReceiver(
        answering(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    ) as receiver:
        assert not attempt(receiver.url()).delivered


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\n", b"X: x\r\n" * 10_000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    ],
    ids=["one long header", "many headers", "many interim answers"],
)
def test_a_flood_of_bytes_before_the_status_is_cut_off(start: bytes, more: bytes) -> None:
    with ScriptedReceiver(endless(start, more)) as receiver:
        assert attempt(receiver.url()).error == "protocol"


@pytest.mark.parametrize(
    "script",
    [
        silence,
        endless(b"HTTP/1.1 200 OK\r\nX: ", b"x", pause=0.02),
        endless(b"", b"HTTP/1.1 102 Processing\r\n\r\n", pause=0.02),
    ],
    ids=["silence", "a header a byte at a time", "interim answers"],
)
def test_a_receiver_that_answers_byte_by_byte_does_not_hold_the_attempt(script: Script) -> None:
    with ScriptedReceiver(script) as receiver:
        outcome = attempt(receiver.url(), timeout=0.5)
    assert (outcome.status, outcome.error) == (None, "timeout")


def test_a_receiver_that_never_reads_does_not_hold_the_attempt() -> None:
    hung_up = threading.Event()

    def script(_connection: socket.socket) -> None:
        hung_up.wait(GENEROUS_SECONDS)

    with ScriptedReceiver(script) as receiver:
        outcome = attempt(receiver.url(), body=b"x" * 32 * 1024 * 1024, timeout=0.5)
        hung_up.set()
    assert outcome.error == "timeout"


def test_a_slow_body_after_a_200_is_a_delivery_and_does_not_hold_the_attempt() -> None:
    with ScriptedReceiver(
        endless(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\nok", b".", pause=0.02)
    ) as receiver:
        outcome = attempt(receiver.url(), timeout=10 * GENEROUS_SECONDS)
    assert outcome.delivered
    assert outcome.response_excerpt.startswith("ok")


def test_an_endless_body_is_cut_off_after_its_first_characters() -> None:
    with ScriptedReceiver(endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536)) as receiver:
        outcome = attempt(receiver.url())
    assert outcome.delivered
    assert outcome.response_excerpt == "x" * 512


def test_a_body_of_ten_megabytes_is_not_read_completely() -> None:
    size = 10_000_000
    answer = b"HTTP/1.1 500 Oops\r\nContent-Length: %d\r\n\r\n%b" % (size, b"x" * size)
    with ScriptedReceiver(answering(answer)) as receiver:
        outcome = attempt(receiver.url())
    assert (outcome.status, outcome.error, len(outcome.response_excerpt)) == (500, None, 512)


def test_a_broken_body_after_a_200_is_a_delivery() -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a chunk"
    with ScriptedReceiver(answering(answer)) as receiver:
        assert attempt(receiver.url()).delivered


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for receiver.example, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    made, key = folder / "certificate.pem", folder / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=receiver.example", "-addext", "subjectAltName=DNS:receiver.example"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(made)], check=True, capture_output=True)
    return made, key


@pytest.fixture
def tls_receiver(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[ScriptedReceiver, list[str | None]]]:
    """A receiver with that certificate, to which every name resolves, and the names that clients asked for."""
    asked: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.sni_callback = lambda _socket, name, _context: asked.append(name)

    def getaddrinfo(_host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with ScriptedReceiver(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), context) as receiver:
        yield receiver, asked


def test_tls_uses_and_checks_the_host_name_although_an_address_is_dialled(
    tls_receiver: tuple[ScriptedReceiver, list[str | None]], certificate: tuple[Path, Path]
) -> None:
    receiver, asked = tls_receiver
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    assert attempt(receiver.url(scheme="https", host="receiver.example"), ssl_context=trusting).delivered
    assert attempt(receiver.url(scheme="https", host="other.example"), ssl_context=trusting).error == "tls"
    assert asked == ["receiver.example", "other.example"]


def test_a_self_signed_certificate_is_refused(tls_receiver: tuple[ScriptedReceiver, list[str | None]]) -> None:
    receiver, _ = tls_receiver
    outcome = attempt(receiver.url(scheme="https", host="receiver.example"))
    assert (outcome.status, outcome.error) == (None, "tls")


def test_plain_http_instead_of_tls_is_reported() -> None:
    def script(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with ScriptedReceiver(script) as receiver:
        assert attempt(receiver.url(scheme="https")).error == "tls"


def test_a_handshake_that_never_ends_does_not_hold_the_attempt() -> None:
    with ScriptedReceiver(silence) as receiver:
        assert attempt(receiver.url(scheme="https"), timeout=0.5).error == "timeout"


def test_a_private_address_is_never_dialled() -> None:
    with ScriptedReceiver(silence) as receiver:
        for host in ("127.0.0.1", "[::ffff:127.0.0.1]", "localhost"):
            outcome = post(receiver.url(host=host), BODY, {}, timeout=5)
            assert (outcome.status, outcome.error) == (None, "forbidden_address")
        assert receiver.connections == 0


@pytest.mark.parametrize("url", ["", "ftp://127.0.0.1/", "http://0x7f.1/", "http://a@127.0.0.1/", "http://[::1"])
def test_a_bad_url_is_reported_as_an_outcome(url: str) -> None:
    assert attempt(url).error == "invalid_url"


def test_a_name_without_an_address_is_reported_as_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert attempt("https://receiver.example/").error == "unresolvable"


def test_proxy_variables_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    with ScriptedReceiver(answer) as proxy, ScriptedReceiver(answer) as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        assert attempt(receiver.url()).delivered
        assert (proxy.connections, receiver.connections) == (0, 1)


def test_the_log_shows_neither_url_nor_headers_nor_answer(caplog: pytest.LogCaptureFixture) -> None:
    answer = b"HTTP/1.1 500 secret\r\nX-Secret: secret\r\nContent-Length: 6\r\n\r\nsecret"
    with caplog.at_level(logging.DEBUG), ScriptedReceiver(answering(answer)) as receiver:
        outcome = post(receiver.url("/secret"), b"secret", {"webhook-signature": "v1,secret"}, allowed=LOOPBACK)
    assert outcome.status == 500
    assert "secret" not in repr(outcome)
    assert "secret" not in caplog.text
    assert "127.0.0.1" not in caplog.text
