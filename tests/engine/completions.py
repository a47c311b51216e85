"""A server of OpenAI's completions API that can be made to fail. Its answers are a pure function of the prompt."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from zlib import crc32

from tests.engine import tiny

MODEL = "served/tiny"
KEY = "a-key-of-the-tests"


@dataclass
class ServerFault:
    """A failure that one request gets instead of an answer: a status, or a closed connection if the status is 0."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"
    #: Seconds before the failure.
    delay: float = 0.0


class CompletionServer(ThreadingHTTPServer):
    """Each of ``faults`` hits one request, in order of arrival; later requests are answered."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _CompletionHandler)
        self.faults: list[ServerFault] = []
        #: Whether it accepts ids as a prompt, and returns the ids of its answers.
        self.takes_ids, self.gives_ids = True, False
        self.knows_stop = True
        #: A request whose prompt contains this id always gets ``poison``.
        self.poisonous: int | None = None
        self.poison = ServerFault(500)
        #: Seconds that an answer takes, and the concurrent requests above which the server answers 429.
        self.delay, self.most = 0.0, 1000
        self.lock = Lock()
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.began_at: list[float] = []
        self.n_now = self.n_most = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def fault_for(self, body: dict[str, Any]) -> ServerFault | None:
        if self.poisonous is not None and self.poisonous in body["prompt"]:
            return self.poison
        if self.n_now > self.most:
            return ServerFault(429)
        return self.faults.pop(0) if self.faults else None


class _CompletionHandler(BaseHTTPRequestHandler):
    server: CompletionServer
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 — its name there
        """Logs nothing."""

    def do_GET(self) -> None:
        self._answer(200, {"data": [{"id": MODEL}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        with self.server.lock:
            self.server.began_at.append(time.monotonic())
            self.server.bodies.append(body)
            self.server.keys.append(self.headers.get("authorization"))
            self.server.n_now += 1
            self.server.n_most = max(self.server.n_most, self.server.n_now)
            fault = self.server.fault_for(body)
        time.sleep(self.server.delay if fault is None else fault.delay)
        with self.server.lock:
            self.server.n_now -= 1
        if fault is None:
            self._answer(*self._completed(body))
        elif fault.status:
            self._send(fault.status, fault.body, fault.headers)
        else:
            self.close_connection = True

    def _completed(self, body: dict[str, Any]) -> tuple[int, Any]:
        prompt = body["prompt"]
        if body["model"] != MODEL:
            return 404, {"error": "no such model"}
        if isinstance(prompt, str):
            prompt = [int(word[1:]) for word in prompt.split()]
        elif not self.server.takes_ids:
            return 422, {"error": f"not a text: {prompt}"}
        seed = (body["seed"], body["top_p"], body["top_k"]) if body["temperature"] else 0
        stop = body.get("stop", []) if self.server.knows_stop else []
        ids, text, reason = written(prompt, body["max_tokens"], stop, seed)
        choice = {"index": 0, "text": text, "finish_reason": reason}
        if self.server.gives_ids and body.get("return_token_ids"):
            choice["token_ids"] = ids
        return 200, {"object": "text_completion", "choices": [choice]}

    def _answer(self, status: int, answer: Any) -> None:
        self._send(status, json.dumps(answer).encode(), {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True  # the client has gone


def written(prompt: list[int], limit: int, stop: list[str], seed: object = 0) -> tuple[list[int], str, str]:
    """An answer: its ids with the end token if it wrote one, its text up to the stop string, and its finish reason."""
    ids: list[int] = []
    while len(ids) < limit:
        drawn = crc32(repr(([*prompt, *ids], seed)).encode())
        if drawn % 16 == 0:
            return [*ids, tiny.END], tiny.text(ids), "stop"
        ids.append(3 + drawn % (tiny.VOCABULARY - 3))
        text = tiny.text(ids)
        for each in stop:
            if each in text:
                return ids, text.partition(each)[0], "stop"
    return ids, tiny.text(ids), "length"


@contextmanager
def completion_server(port: int = 0) -> Iterator[CompletionServer]:
    """Runs a server at a free port, or at the port of a server that has ended."""
    with CompletionServer(port) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
