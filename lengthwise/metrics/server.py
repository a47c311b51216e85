"""A small HTTP server beside the work of a process: ``/metrics`` for Prometheus, and in workers the two health checks.

A process may add pages of its own, which answer with JSON.

It is for the operator's own network: it checks no key, and shows no text, key or address. Whoever reaches it may send
what they like, so the head of a request has a limit in bytes and in seconds, and so has the number of connections.
"""

import json
import logging
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from socketserver import ThreadingTCPServer
from threading import BoundedSemaphore, Event, Thread
from typing import Any, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from lengthwise import logs
from lengthwise.metrics.registry import registry_of
from lengthwise.settings import Settings

log = logging.getLogger(__name__)

#: The head of a request must be complete, and an answer be read, within this time. A scrape has little to say.
_SECONDS = 5.0
_MAX_HEAD_BYTES = 8 * 2**10
#: Each connection has a thread. Beyond these, a connection is closed at once.
_MAX_CONNECTIONS = 32
#: If the port is taken, as it is for a moment by a process that this one replaces, it is tried again so often. After
#: ``_PATIENCE_SECONDS`` one warning says so.
_PAUSE_SECONDS = 0.5
_PATIENCE_SECONDS = 10.0
#: How late the server notices that it is to stop.
_STOP_SECONDS = 0.25


#: Answers a query string with a status and JSON.
Page = Callable[[str], tuple[int, bytes]]


class Health(Protocol):
    """How a worker is. Each reason is a sentence of our own."""

    def hung(self) -> list[str]:
        """Why the process should be restarted; empty if it works."""
        ...

    def unready(self) -> list[str]:
        """Why it cannot work now; empty if it can."""
        ...


class _Listener(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = _MAX_CONNECTIONS
    timeout = _STOP_SECONDS

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, health: Health | None, pages: Mapping[str, Page]
    ) -> None:
        """Raises ``OSError`` if the port cannot be opened."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.registry, self.health, self.pages = registry, health, pages
        self._places = BoundedSemaphore(_MAX_CONNECTIONS)
        super().__init__((host, port), _ScrapeHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):  # otherwise the caller has left
            log.error("a request for metrics failed: unexpected %s", type(error).__name__, extra=logs.raised(error))


class _ScrapeHandler(BaseHTTPRequestHandler):
    """One request on each connection."""

    server: _Listener
    server_version, sys_version = "lengthwise", ""
    timeout = _SECONDS

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = BytesIO(_read_head(self.connection))

    def do_GET(self) -> None:
        (path, _, query), health = self.path.partition("?"), self.server.health
        if path == "/metrics":
            encode, content_type = choose_encoder(self.headers.get("Accept") or "")
            self._answer(200, encode(self.server.registry), content_type)
        elif health is not None and path == "/healthz":
            self._answer_health(health.hung())
        elif health is not None and path == "/readyz":
            self._answer_health(health.unready())
        elif (page := self.server.pages.get(path)) is not None:
            self._answer(*page(query), "application/json")
        else:
            self.send_error(404)

    def _answer_health(self, reasons: Sequence[str]) -> None:
        body = {"status": "unavailable" if reasons else "ok", "reasons": list(reasons)}
        self._answer(503 if reasons else 200, json.dumps(body).encode(), "application/json")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Says nothing but the status. The usual page would repeat what was sent."""
        self._answer(code, b"", "text/plain")

    def _answer(self, status: int, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the overridden method
        """Logs nothing: Prometheus asks every few seconds."""


def _read_head(connection: socket.socket) -> bytes:
    """The head of a request, up to its blank line; empty if it is too long or comes too late."""
    head, ends_at = b"", time.monotonic() + _SECONDS
    while b"\r\n\r\n" not in head:
        left = ends_at - time.monotonic()
        if left <= 0 or len(head) >= _MAX_HEAD_BYTES:
            return b""
        connection.settimeout(left)
        try:
            received = connection.recv(_MAX_HEAD_BYTES - len(head))
        except OSError:  # too late, or the caller has left
            return b""
        if not received:
            return b""
        head += received
    connection.settimeout(_SECONDS)
    return head


class MetricsServer:
    """Serves from a thread. If its port is taken it tries again, and never fails: metrics must not stop the work."""

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        health: Health | None = None,
        pages: Mapping[str, Page] | None = None,
    ) -> None:
        self._address, self._registry, self._health, self._pages = (host, port), registry, health, pages or {}
        self._is_over = Event()
        self._thread = Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Closes the port. Answers that are under way end by themselves."""
        self._is_over.set()
        self._thread.join()

    def _run(self) -> None:
        listener = self._open()
        if listener is not None:
            with listener:
                while not self._is_over.is_set():
                    listener.handle_request()

    def _open(self) -> _Listener | None:
        began, has_warned = time.monotonic(), False
        while not self._is_over.is_set():
            try:
                return _Listener(*self._address, self._registry, self._health, self._pages)
            except OSError as error:
                if not has_warned and time.monotonic() - began >= _PATIENCE_SECONDS:
                    has_warned = True
                    log.warning(
                        "metrics are not served: port %d cannot be opened (%s)", self._address[1], error.strerror
                    )
            self._is_over.wait(_PATIENCE_SECONDS if has_warned else _PAUSE_SECONDS)
        return None


def start(
    current: Settings,
    role: str,
    *collectors: Collector,
    health: Health | None = None,
    pages: Mapping[str, Page] | None = None,
) -> MetricsServer | None:
    """Starts to serve the metrics of this process; None if the settings name no port for them."""
    if not current.metrics_port:
        return None
    server = MetricsServer(current.metrics_host, current.metrics_port, registry_of(role, *collectors), health, pages)
    server.start()
    return server


@contextmanager
def serving(
    current: Settings, role: str, *collectors: Collector, pages: Mapping[str, Page] | None = None
) -> Iterator[None]:
    """Serves the metrics of this process for the duration of the block."""
    server = start(current, role, *collectors, pages=pages)
    try:
        yield
    finally:
        if server is not None:
            server.stop()
