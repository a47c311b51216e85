"""A webhook receiver on a loopback port. It verifies every event with the Standard Webhooks library."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from standardwebhooks import Webhook, WebhookVerificationError


class WebhookReceiver:
    """Collects verified events in ``events`` while the context is open. It answers forged events with 400."""

    def __init__(self, secret: str) -> None:
        self.events: list[dict[str, Any]] = []
        self._webhook = Webhook(secret)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hooks"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                try:
                    receiver._webhook.verify(body, dict(self.headers))
                except WebhookVerificationError:
                    self.send_response(400)
                else:
                    receiver.events.append({"webhook-id": self.headers["webhook-id"], **json.loads(body)})
                    self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Logs nothing: the demonstration prints the events."""

        return Handler

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
