"""A caller who sends or reads too slowly is cut off, an honest slow one is not, and others are answered meanwhile."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from api.page.live import EVENTS_PATH
from api.problem import ErrorForms
from api.refusals import RefusalTally
from api.serve import server
from lengthwise.settings import Settings
from tests import servers as real
from tests.integration.serve import raw
from tests.integration.serve.raw import AUTHORIZED, JOB, JSON, RawApi, request

HEADER_SECONDS = 2
BODY_SECONDS = 2


@pytest.fixture(scope="module")
def api(servers: real.Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawApi]:
    limits = {"header_seconds": HEADER_SECONDS, "body_seconds": BODY_SECONDS, "download_seconds": 2}
    with raw.serving(servers, tmp_path_factory.mktemp("api"), **limits) as found:
        yield found


HALF = {
    "a method": b"GE",
    "a path": b"GET /heal",
    "a header": b"GET /healthz HTTP/1.1\r\nHost: api\r\nX-Half: ",
    "all but the end": b"GET /healthz HTTP/1.1\r\nHost: api\r\n",
}


@pytest.mark.parametrize("sent", HALF.values(), ids=HALF)
def test_half_a_head_is_a_408(api: RawApi, sent: bytes) -> None:
    with raw.bystander(api), api.connect() as caller:
        caller.sendall(sent)
        answer = raw.read(caller)
        assert raw.is_closed(caller)
    assert (answer.status, answer.headers["content-type"]) == (408, "application/problem+json")
    assert json.loads(answer.body)["title"] == "request timeout"


def test_hundreds_of_half_heads_end_and_others_are_answered(api: RawApi) -> None:
    callers = [api.connect() for _ in range(300)]
    with raw.bystander(api):
        for caller in callers:
            caller.sendall(HALF["a header"])
        for caller in callers:
            assert raw.read(caller).status == 408
            caller.close()


def test_a_head_that_drips_has_no_more_time_than_one_that_stops(api: RawApi) -> None:
    with api.connect() as caller:
        began = time.monotonic()
        with suppress(OSError):
            for byte in request(more=b"A: %s\r\n" % (b"a" * 500)):
                caller.sendall(bytes([byte]))
                time.sleep(0.1)
        assert time.monotonic() - began < 30
        with suppress(ConnectionResetError):
            assert raw.read(caller).status == 408


def test_time_counts_from_the_previous_answer(api: RawApi) -> None:
    with api.connect() as caller:
        for _ in range(4):
            caller.sendall(request())
            assert raw.read(caller).status == 200
            time.sleep(HEADER_SECONDS / 3)
        caller.sendall(HALF["a path"])
        assert raw.read(caller).status == 408


@pytest.mark.parametrize("before", [b"", request()], ids=["new", "after an answer"])
def test_an_idle_connection_is_closed_without_a_word(api: RawApi, before: bytes) -> None:
    with api.connect() as caller:
        if before:
            caller.sendall(before)
            assert raw.read(caller).status == 200
        assert caller.recv(100) == b""


def upload(n_bytes: int) -> bytes:
    head = AUTHORIZED + JSON + b"Content-Length: %d\r\n" % n_bytes
    return request(b"/v1/jobs", head, method=b"POST")


@pytest.mark.parametrize("begins", [b"", JOB[:20]], ids=["nothing", "half"])
def test_a_body_that_stops_is_a_408(api: RawApi, begins: bytes) -> None:
    with raw.bystander(api), api.connect() as caller:
        caller.sendall(upload(len(JOB)) + begins)
        answer = raw.read(caller)
        assert raw.is_closed(caller)
    assert (answer.status, answer.headers["content-type"]) == (408, "application/problem+json")


def test_the_408_of_an_upload_to_openais_api_has_the_form_of_openai(api: RawApi) -> None:
    with api.connect() as caller:
        form = b"Content-Type: multipart/form-data; boundary=x\r\n"
        caller.sendall(request(b"/v1/files", AUTHORIZED + form + b"Content-Length: 500\r\n", method=b"POST") + b"--x")
        answer = raw.read(caller)
    assert answer.status == 408
    assert json.loads(answer.body)["error"]["type"] == "invalid_request_error"


def test_chunks_without_a_body_are_a_408(api: RawApi) -> None:
    with api.connect() as caller:
        head = AUTHORIZED + JSON + b"Transfer-Encoding: chunked\r\n"
        caller.sendall(request(b"/v1/jobs", head, method=b"POST"))
        with suppress(OSError):
            for _ in range(100):
                caller.sendall(b"1\r\n{\r\n")
                time.sleep(0.1)
        with suppress(ConnectionResetError):
            assert raw.read(caller).status == 408


def test_a_slow_upload_of_a_large_body_is_accepted(api: RawApi) -> None:
    items = [{"text": f"text {number}"} for number in range(6000)]
    body = json.dumps({"kind": "generate", "model": "echo", "items": items}).encode()
    with api.connect() as caller:
        caller.sendall(upload(len(body)))
        for at in range(0, len(body), 20_000):
            caller.sendall(body[at : at + 20_000])
            time.sleep(BODY_SECONDS / 4)
        assert raw.read(caller).status == 202


def test_the_rest_of_a_body_that_nobody_wants_is_not_read_for_ever(api: RawApi) -> None:
    with api.connect() as caller:
        caller.sendall(request(b"/v1/jobs", JSON + b"Content-Length: 500000000\r\n", method=b"POST"))
        assert raw.read(caller).status == 401
        began = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - began < 30:
                caller.sendall(b" " * 1000)
                time.sleep(0.05)
        assert time.monotonic() - began < 20


@contextmanager
def running(app: FastAPI, **limits: float) -> Iterator[RawApi]:
    """The app behind our server, in a thread of this process."""
    app.state.forms, app.state.refusals = ErrorForms(), RefusalTally()
    given = server.options(app, Settings.model_validate(limits))
    started = uvicorn.Server(uvicorn.Config(app, port=0, **given))
    thread = threading.Thread(target=started.run)
    thread.start()
    real.wait_until(lambda: started.started)
    try:
        yield RawApi(started.servers[0].sockets[0].getsockname()[1], None)  # type: ignore[arg-type]
    finally:
        started.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def test_time_in_which_we_do_not_read_is_not_the_callers() -> None:
    app = FastAPI()

    @app.post("/")
    async def slow(got: Request) -> int:
        await asyncio.sleep(4)
        return len(await got.body())

    with running(app, body_seconds=1) as slow_api, slow_api.connect() as caller:
        caller.settimeout(30)
        caller.sendall(request(b"/", body=b" " * 10_000_000, method=b"POST"))
        assert raw.read(caller).body == b"10000000"


def test_an_answer_may_take_long_to_make() -> None:
    app = FastAPI()

    @app.post("/")
    async def slow(got: Request) -> int:
        n_bytes = len(await got.body())
        await asyncio.sleep(4)
        return n_bytes

    with running(app, body_seconds=1, header_seconds=1, download_seconds=1) as slow_api, slow_api.connect() as caller:
        caller.sendall(request(b"/", body=b"body", method=b"POST"))
        assert raw.read(caller).body == b"4"


def endless(is_over: threading.Event) -> FastAPI:
    app = FastAPI()

    async def parts() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"a" * 2**16
                await asyncio.sleep(0)  # a download's next page comes from a thread, and so lets others run
        finally:
            is_over.set()

    @app.get("/")
    def download() -> StreamingResponse:
        return StreamingResponse(parts())

    return app


def small_window(port: int) -> socket.socket:
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    caller.settimeout(raw.PATIENCE)
    caller.connect(("127.0.0.1", port))
    return caller


def test_an_answer_that_nobody_reads_is_broken_off() -> None:
    is_over = threading.Event()
    with running(endless(is_over), download_seconds=2) as found, small_window(found.port) as caller:
        caller.sendall(request(b"/"))
        assert is_over.wait(20)


def test_an_answer_that_is_read_slowly_goes_on() -> None:
    is_over = threading.Event()
    with running(endless(is_over), download_seconds=2) as found, small_window(found.port) as caller:
        caller.sendall(request(b"/"))
        for _ in range(20):
            time.sleep(0.25)
            n_read = 0
            while n_read < 100_000:
                n_read += len(caller.recv(65536))
        assert not is_over.is_set()
    assert is_over.wait(20)


def test_the_end_of_an_answer_that_nobody_reads_holds_no_connection() -> None:
    app = FastAPI()

    @app.get("/")
    def download() -> str:
        return "a" * 20_000_000

    with running(app, download_seconds=2) as found, small_window(found.port) as caller:
        caller.sendall(request(b"/", b"Connection: close\r\n"))
        time.sleep(5)
        n_read = 0
        with suppress(ConnectionResetError):
            while data := caller.recv(2**20):
                n_read += len(data)
        assert n_read < 20_000_000


def test_live_figures_do_not_delay_the_end_of_the_server() -> None:
    app = FastAPI()

    async def events() -> AsyncIterator[bytes]:
        while True:
            yield b": nothing new\n\n"
            await asyncio.sleep(0.05)

    @app.get(f"{EVENTS_PATH}/overview")
    async def live() -> StreamingResponse:
        return StreamingResponse(events(), media_type="text/event-stream")

    with ExitStack() as open_still:
        with running(app) as api:
            viewer = open_still.enter_context(api.connect())
            viewer.sendall(request(f"{EVENTS_PATH}/overview".encode()))
            assert viewer.recv(10_000).startswith(b"HTTP/1.1 200")
            began = time.monotonic()
        assert time.monotonic() - began < server._GRACE - 1
