"""A real server process, and callers that speak to it over plain sockets."""

import http.client
import io
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lengthwise import child
from lengthwise.child import Child
from lengthwise.local import program
from tests import servers as real
from tests.caller import KEY
from tests.fakes import write_catalog

#: Seconds after which an answer that did not come counts as a stall.
PATIENCE = 15.0
AUTHORIZED = f"Authorization: Bearer {KEY}\r\n".encode()
JSON = b"Content-Type: application/json\r\n"
JOB = b'{"kind":"generate","model":"echo","items":[{"text":"one small text"}]}'


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class RawApi:
    """The API at a port of this machine, in a process of its own."""

    port: int
    process: Child

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def ask(self, request: bytes) -> Answer:
        """The first answer to these bytes, on a connection of their own."""
        with self.connect() as caller:
            send(caller, request)
            return read(caller)

    def memory(self) -> int:
        """Its resident memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) // 1024


@contextmanager
def serving(servers: real.Urls, folder: Path, **knobs: object) -> Iterator[RawApi]:
    """Runs ``lengthwise api`` with these settings and an empty database, until the end of the block."""
    with servers.fresh_database() as url, socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
        probe.close()
        named = {"database_url": url, "redis_url": servers.redis, "models": write_catalog(folder)}
        given = {**named, "master_key": real.MASTER_KEY, **knobs}
        environment = {**os.environ, **{f"LENGTHWISE_{name.upper()}": str(value) for name, value in given.items()}}
        process = Child(program.api("127.0.0.1", port, environment), folder / "api.log")
        try:
            process.start()
            is_ready = program.api_is_ready("127.0.0.1", port)
            real.wait_until(lambda: is_ready() or not process.is_running)
            assert process.is_running, process.output()
            yield RawApi(port, process)
        finally:
            child.stop([process], 20)


def request(
    target: bytes = b"/healthz", more: bytes = b"", body: bytes = b"", method: bytes = b"GET", version: bytes = b"1.1"
) -> bytes:
    """A whole request. ``more`` are further header lines, each with its end."""
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    return b"%s %s HTTP/%s\r\nHost: api\r\n%s%s\r\n%s" % (method, target, version, more, length, body)


def chunked(body: bytes, trailers: bytes = b"", more: bytes = b"") -> bytes:
    """The request for a job as one chunk. ``trailers`` are header lines after it."""
    head = request(b"/v1/jobs", JSON + more + b"Transfer-Encoding: chunked\r\n", method=b"POST")
    return head + b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, trailers)


def send(caller: socket.socket, data: bytes) -> None:
    """Sends what the server takes. It may close the connection before it has all."""
    with suppress(ConnectionResetError, BrokenPipeError):
        caller.sendall(data)


class _Shared(io.BufferedReader):
    """What a connection still holds. Reading one answer must not end it."""

    def close(self) -> None:
        pass

    def makefile(self, mode: str) -> "_Shared":
        return self


def read_all(caller: socket.socket, count: int) -> list[Answer]:
    """Reads so many answers on one connection. Interim answers are skipped."""
    shared: Any = _Shared(socket.SocketIO(caller, "r"))
    found = []
    for _ in range(count):
        answer = http.client.HTTPResponse(shared)
        answer.begin()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        found.append(Answer(answer.status, headers, answer.read()))
    return found


def read(caller: socket.socket) -> Answer:
    (found,) = read_all(caller, 1)
    return found


def is_closed(caller: socket.socket) -> bool:
    """Reads until the server closes the connection, for as long as ``PATIENCE``. The content does not matter."""
    with suppress(ConnectionResetError):
        try:
            while caller.recv(65536):
                pass
        except TimeoutError:
            return False
    return True


@contextmanager
def bystander(api: RawApi) -> Iterator[None]:
    """A second caller, who asks again and again during the block. It must be answered each time."""
    is_over = threading.Event()
    answers: list[tuple[int, float]] = []

    def ask() -> None:
        while not (answers and is_over.wait(0.1)):
            began = time.monotonic()
            status = 0
            with suppress(OSError, http.client.HTTPException):
                status = api.ask(request(b"/v1/jobs?limit=1", AUTHORIZED)).status
            answers.append((status, time.monotonic() - began))

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(2 * PATIENCE)
    assert answers
    assert {status for status, _ in answers} == {200}
    assert max(seconds for _, seconds in answers) < PATIENCE / 3
