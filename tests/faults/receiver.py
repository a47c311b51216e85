"""Webhook receivers on loopback: a good one, and several hostile ones.

A path is ``/behaviour/key``. Except for ``good`` and ``gone``, every behaviour misbehaves once for each key and then
works, like a receiver that was repaired. Every request is verified with the Standard Webhooks library and recorded.
"""

import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from standardwebhooks import Webhook, WebhookVerificationError

SECRET = "whsec_bGVuZ3Rod2lzZS1mYXVsdHMtc2VjcmV0LTAx"
RETRY_AFTER_SECONDS = 7
_FLOOD_BYTES = 10 * 2**20
_BEHAVIOURS = ("good", "reset", "drip", "flood", "redirect", "gone", "busy")


@dataclass(frozen=True)
class Hit:
    at: float
    path: str
    webhook_id: str
    body: bytes
    is_genuine: bool


class FaultyReceiver:
    def __init__(self) -> None:
        self.hits: list[Hit] = []
        self._server = _Server(self)
        self._refusing: list[_Server] = []
        self._babbler = socket.create_server(("127.0.0.1", 0))
        self._threads = [
            threading.Thread(target=self._server.serve_forever, daemon=True),
            threading.Thread(target=self._babble, daemon=True),
        ]

    def url(self, behaviour: str, key: str) -> str:
        """Returns a URL with this behaviour: one of ``_BEHAVIOURS``, or ``refuse`` or ``tls``."""
        if behaviour == "tls":
            return f"https://127.0.0.1:{self._babbler.getsockname()[1]}/tls/{key}"
        if behaviour == "refuse":
            self._refusing.append(_Server(self, listens=False))
            return f"http://127.0.0.1:{self._refusing[-1].server_port}/good/{key}"
        assert behaviour in _BEHAVIOURS
        return f"http://127.0.0.1:{self._server.server_port}/{behaviour}/{key}"

    def open_refusing(self) -> None:
        """Makes the receivers that refused connections accept them."""
        for server in self._refusing:
            server.server_activate()
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def _babble(self) -> None:
        """Answers a TLS handshake with plain HTTP."""
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._babbler.accept()
                with peer, contextlib.suppress(OSError):
                    peer.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                    peer.recv(4096)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in (self._server, *self._refusing):
            if server.is_listening:
                server.shutdown()
            server.server_close()
        with contextlib.suppress(OSError):
            self._babbler.shutdown(socket.SHUT_RDWR)
        self._babbler.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, receiver: FaultyReceiver, listens: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _HookHandler, bind_and_activate=False)
        self.receiver = receiver
        self.requests_of: Counter[str] = Counter()
        self.is_listening = False
        self.server_bind()
        if listens:
            self.server_activate()

    def server_activate(self) -> None:
        super().server_activate()
        self.is_listening = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Logs nothing: senders that hang up are expected."""


class _HookHandler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        body = self.rfile.read(length)
        if len(body) < length:  # the sender was killed
            return
        self.server.receiver.hits.append(
            Hit(time.time(), self.path, self.headers["webhook-id"] or "", body, self._is_genuine(body))
        )
        behaviour = self.path.split("/")[1]
        self.server.requests_of[self.path] += 1
        if behaviour == "gone":
            self._answer(410)
        elif behaviour == "good" or self.server.requests_of[self.path] > 1:
            self._answer(204)
        else:
            getattr(self, f"_{behaviour}")()

    def _is_genuine(self, body: bytes) -> bool:
        try:
            Webhook(SECRET).verify(body, dict(self.headers))
        except WebhookVerificationError:
            return False
        return True

    def _answer(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", "0")
        self.end_headers()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _drip(self) -> None:
        for byte in b"HTTP/1.1 200 OK\r\n" + b"x-slowly: x\r\n" * 5:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(0.2)

    def _flood(self) -> None:
        self.send_response(500)
        self.send_header("content-length", str(_FLOOD_BYTES))
        self.end_headers()
        for _ in range(_FLOOD_BYTES // 2**16):
            self.wfile.write(bytes(2**16))

    def _redirect(self) -> None:
        self._answer(302, location=self.server.receiver.url("good", "redirected"))

    def _busy(self) -> None:
        self._answer(429, retry_after=str(RETRY_AFTER_SECONDS))

    def log_message(self, *_: object) -> None:
        """Logs nothing: ``hits`` has the requests."""
