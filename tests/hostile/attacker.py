"""Sends hostile requests: whole ones with a key, and any bytes over sockets."""

import json
import socket
from typing import Any

import httpx

from tests.caller import bearer
from tests.hostile.installation import Installation
from tests.hostile.verdict import Outcome

#: No request may be unanswered for longer. Here single requests wait for 20 s, and slow bodies end after 30 s.
PATIENCE_SECONDS = 60.0


class Attacker:
    """Has a valid key, since callers are strangers too. Every answer is noted in ``outcome``."""

    def __init__(self, installation: Installation, outcome: Outcome) -> None:
        self.installation, self.outcome = installation, outcome
        self._client = httpx.Client(
            base_url=installation.url, headers=bearer(installation.key), timeout=PATIENCE_SECONDS
        )

    def close(self) -> None:
        self._client.close()

    def send(self, method: str, path: str, *, allowed: set[int] | None = None, **body: Any) -> httpx.Response | None:
        """Sends a request. Its answer's status must be among ``allowed``, if they are given."""
        what = f"for {method} {path[:40]}"
        try:
            answer = self._client.request(method, path, **body)
        except httpx.TimeoutException:
            self.outcome.problem(f"no answer within {PATIENCE_SECONDS:g} s {what}")
            return None
        except httpx.TransportError:  # closed before the whole body was read: allowed, once a limit is passed
            self.outcome.saw(0)
            return None
        self.outcome.saw(answer.status_code, answer.content, what)
        if allowed is not None and answer.status_code not in allowed:
            self.outcome.problem(f"{answer.status_code} {what}")
        return answer

    def refused(self, method: str, path: str, **body: Any) -> httpx.Response | None:
        """Sends a request that must be refused."""
        return self.send(method, path, allowed={400, 408, 409, 413, 414, 415, 422, 429, 431}, **body)

    def line(self, body: dict[str, Any], url: str = "/v1/chat/completions", **more: Any) -> bytes:
        """A line of a batch's file."""
        return json.dumps({"custom_id": "a", "method": "POST", "url": url, "body": body} | more).encode() + b"\n"

    def batch(self, lines: bytes, endpoint: str = "/v1/chat/completions") -> httpx.Response | None:
        """Uploads a file of these lines and makes a batch of it."""
        files = {"file": ("batch.jsonl", lines), "purpose": (None, "batch")}
        made = self.send("POST", "/v1/files", files=files)
        if made is None or made.status_code != 200:
            return made
        wanted = {"input_file_id": made.json()["id"], "endpoint": endpoint, "completion_window": "24h"}
        return self.send("POST", "/v1/batches", json=wanted)

    def connect(self) -> socket.socket:
        found = socket.create_connection(("127.0.0.1", self.installation.port), timeout=PATIENCE_SECONDS)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found

    def raw(self, *pieces: bytes) -> int:
        """Sends these bytes over a new connection. Returns the answer's status; 0 if there is none."""
        with self.connect() as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError, TimeoutError):
                pass
            return self.status(connection)

    def status(self, connection: socket.socket) -> int:
        """Reads and notes the answer of a connection."""
        found = b""
        try:
            while b"\r\n\r\n" not in found and (more := connection.recv(65536)):
                found += more
        except ConnectionResetError:
            pass
        except TimeoutError:
            self.outcome.problem(f"a connection was kept for {PATIENCE_SECONDS:g} s without an answer")
        status = int(found[9:12]) if found.startswith(b"HTTP/1.") else 0
        self.outcome.saw(status, found, "on a raw connection")
        return status
