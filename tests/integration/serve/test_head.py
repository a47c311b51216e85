"""What precedes a body is bounded before a key is checked, and each refusal has the documented form."""

import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.openai.upload import Upload
from api.serve import head
from lengthwise.errors import InvalidInput
from tests import servers as real
from tests.integration.serve import raw
from tests.integration.serve.raw import AUTHORIZED, JOB, JSON, RawApi, chunked, request

SECRET = b"ZZSECRETKEY"
UPGRADES = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n",
    "websocket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
    "unknown": b"Connection: upgrade\r\nUpgrade: x\r\n",
}


@pytest.fixture(scope="module")
def api(servers: real.Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawApi]:
    with raw.serving(servers, tmp_path_factory.mktemp("api")) as found:
        yield found


def post(more: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    return request(b"/v1/jobs", AUTHORIZED + JSON + more, method=b"POST", version=version) + body


MALFORMED = {
    "a TLS handshake": b"\x16\x03\x01\x02\x00" + SECRET + b"\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "lower case": b"get / http/1.1\r\n\r\n",
    "an unknown method": request(method=b"ZZSECRETKEY"),
    "CONNECT to a host": request(b"host:443", method=b"CONNECT"),
    "CONNECT to a path": request(method=b"CONNECT"),
    "no path": request(b"http://host"),
    "a path that is not ASCII": request("/hé".encode()),
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": request(more=b"Host: other\r\n"),
    "no version": b"GET /healthz\r\n\r\n",
    "version 1.2": request(version=b"1.2"),
    "version 3": request(version=b"3.0"),
    "a folded header": request(more=b"A: b\r\n " + SECRET + b"\r\n"),
    "a blank before the colon": request(more=b"A : b\r\n"),
    "NUL in a header": request(more=b"A: \0\r\n"),
    "line feeds alone": b"GET /healthz HTTP/1.1\nHost: api\n\n",
    "two lengths": post(b"Content-Length: 2\r\nContent-Length: 3\r\n", b"{} "),
    "one length twice": post(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"{}"),
    "a list of lengths": post(b"Content-Length: 2, 2\r\n", b"{}"),
    "a negative length": post(b"Content-Length: -1\r\n", b"{}"),
    "a length that no number holds": post(b"Content-Length: 99999999999999999999999\r\n", b"{}"),
    "a length and chunks": post(b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "chunks and a length": post(b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", b"0\r\n\r\n"),
    "chunks in HTTP/1.0": post(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", version=b"1.0"),
    "two codings": post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
    "two headers of codings": post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    "an unknown coding": post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"),
    "a chunk without a size": post(b"Transfer-Encoding: chunked\r\n", b"zz\r\n"),
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_bad_http_is_a_problem_with_status_400(api: RawApi, sent: bytes) -> None:
    with api.connect() as caller:
        raw.send(caller, sent)
        answer = raw.read(caller)
        assert_is_problem(answer, 400, "bad request")
        assert raw.is_closed(caller)


def assert_is_problem(answer: raw.Answer, status: int, title: str) -> None:
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json"), answer
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-request-id"].startswith("req_")
    shown = json.loads(answer.body)
    assert shown["detail"]
    assert (shown["type"], shown["title"], shown["status"]) == (
        f"urn:lengthwise:problem:{title.replace(' ', '-')}",
        title,
        status,
    )
    assert SECRET not in answer.body


def lines(count: int, size: int) -> bytes:
    """Header lines whose names and values have ``size`` bytes each."""
    return b"".join(b"X-%04d: %s\r\n" % (number, b"a" * (size - 6)) for number in range(count))


LARGE = {
    "a long path": (request(b"/" + b"a" * head.MAX_URL_BYTES), 414),
    "a long query": (request(b"/healthz?" + b"a" * head.MAX_URL_BYTES), 414),
    "a query of a megabyte": (request(b"/healthz?" + b"a" * 2**20), 414),
    "many headers": (request(more=lines(head.MAX_HEADERS, 10)), 431),
    "100,000 headers": (request(more=lines(100_000, 10)), 431),
    "a long value": (request(more=lines(1, head.MAX_HEADER_BYTES + 1)), 431),
    "a value of eight megabytes": (request(more=b"A: " + b"a" * 2**23 + b"\r\n"), 431),
    "a name of eight megabytes": (request(more=b"a" * 2**23 + b": A\r\n"), 431),
    "a name without an end": (b"GET / HTTP/1.1\r\n" + b"a" * 2**20, 431),
    "many long headers": (request(more=lines(5, 15_000)), 431),
    "many trailers": (chunked(JOB, lines(head.MAX_HEADERS, 10), AUTHORIZED), 431),
    "a long trailer": (chunked(JOB, lines(1, 2**20), AUTHORIZED), 431),
    "a long extension of a chunk": (
        post(b"Transfer-Encoding: chunked\r\n", b"1;" + b"a" * 2**20 + b"\r\nx\r\n0\r\n\r\n"),
        431,
    ),
    "a body that is never read": (request(b"/v1/jobs", b"Content-Length: 9999999999999\r\n", method=b"POST"), 413),
}


@pytest.mark.parametrize(("sent", "status"), LARGE.values(), ids=LARGE)
def test_a_large_head_is_refused_and_others_are_answered(api: RawApi, sent: bytes, status: int) -> None:
    with raw.bystander(api), api.connect() as caller:
        raw.send(caller, sent)
        answer = raw.read(caller)
    title = {413: "too large", 414: "uri too long", 431: "request header fields too large"}[status]
    assert_is_problem(answer, status, title)


def test_a_head_at_its_limits_is_accepted(api: RawApi) -> None:
    target = b"/healthz?" + b"a" * (head.MAX_URL_BYTES - len("/healthz?"))
    assert api.ask(request(target)).status == 200
    assert api.ask(request(more=lines(head.MAX_HEADERS - 1, 10))).status == 200
    assert api.ask(request(more=lines(1, head.MAX_HEADER_BYTES))).status == 200
    assert api.ask(request(more=lines(4, 16_000))).status == 200


def test_a_path_of_openai_is_refused_in_the_form_of_openai(api: RawApi) -> None:
    for target in (b"/v1/files", b"/v1/chat/completions"):
        answer = api.ask(request(target + b"?" + b"a" * head.MAX_URL_BYTES))
        assert (answer.status, answer.headers["content-type"]) == (414, "application/json")
        assert set(json.loads(answer.body)["error"]) == {"message", "type", "param", "code"}
    assert api.ask(request(b"/v1/files", more=lines(101, 10))).status == 431


@pytest.mark.parametrize("method", [b"PROPFIND", b"TRACE", b"DELETE", b"M-SEARCH", b"QUERY"])
def test_odd_methods_and_unknown_paths_have_the_documented_form(api: RawApi, method: bytes) -> None:
    for target, status in ((b"/nowhere", 404), (b"/healthz", 405), (b"*", 404)):
        answer = api.ask(request(target, method=method))
        if answer.status != 400:  # the parser does not know every method
            assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")


def test_trailers_are_no_headers(api: RawApi) -> None:
    assert api.ask(chunked(JOB, AUTHORIZED)).status == 401
    assert api.ask(chunked(JOB, AUTHORIZED, b"Trailer: Authorization\r\n")).status == 401
    keyed = chunked(JOB, b"Idempotency-Key: again\r\n", AUTHORIZED)
    first, second = api.ask(keyed), api.ask(keyed)
    assert (first.status, second.status) == (202, 202)
    assert json.loads(first.body)["id"] != json.loads(second.body)["id"]


def test_a_trailer_is_no_header_of_the_next_request(api: RawApi) -> None:
    with api.connect() as caller:
        caller.sendall(chunked(JOB, b"A: b\r\n" + AUTHORIZED) + request(b"/v1/jobs"))
        assert [answer.status for answer in raw.read_all(caller, 2)] == [401, 401]


@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
def test_an_upgrade_is_ignored(api: RawApi, upgrade: bytes) -> None:
    job = request(b"/v1/jobs", AUTHORIZED + JSON + upgrade, JOB, b"POST")
    in_chunks = chunked(JOB, more=AUTHORIZED + upgrade)
    with api.connect() as caller:
        for sent, status in ((request(more=upgrade), 200), (job, 202), (in_chunks, 202), (request(), 200)):
            caller.sendall(sent)
            assert raw.read(caller).status == status
        caller.sendall(job + request(more=upgrade) + in_chunks + request())
        assert [answer.status for answer in raw.read_all(caller, 4)] == [202, 200, 202, 200]


def test_a_caller_who_sends_far_ahead_of_its_answers_is_cut_off(api: RawApi) -> None:
    with api.connect() as caller:
        caller.sendall(request() * 10)
        assert [answer.status for answer in raw.read_all(caller, 10)] == [200] * 10
        raw.send(caller, request(b"/v1/jobs", AUTHORIZED) * 5000)
        assert raw.is_closed(caller)


def test_after_a_key_is_refused_the_next_request_is_not_taken_for_the_body(api: RawApi) -> None:
    with api.connect() as caller:
        caller.sendall(request(b"/v1/jobs", JSON + b"Expect: 100-continue\r\nContent-Length: 500\r\n", method=b"POST"))
        assert raw.read(caller).status == 401
        assert raw.is_closed(caller)


def test_a_body_that_is_expected_is_asked_for(api: RawApi) -> None:
    with api.connect() as caller:
        length = b"Content-Length: %d\r\n" % len(JOB)
        caller.sendall(request(b"/v1/jobs", AUTHORIZED + JSON + b"Expect: 100-continue\r\n" + length, method=b"POST"))
        assert caller.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        caller.sendall(JOB)
        assert raw.read(caller).status == 202


def test_endless_headers_cost_no_memory(api: RawApi) -> None:
    before = api.memory()
    with raw.bystander(api):
        for block in (lines(6000, 10), lines(60, 1000), b"a" * 60_000):
            with api.connect() as caller:
                with suppress(OSError):
                    caller.sendall(b"GET /healthz HTTP/1.1\r\nHost: api\r\nX: ")
                    for _ in range(500):
                        caller.sendall(block)
                with suppress(OSError):
                    assert raw.read(caller).status == 431
    assert api.memory() - before < 20


def test_refusals_are_summed_up_in_the_log_and_repeat_nothing(api: RawApi) -> None:
    before = len(api.process.output().splitlines())

    def added() -> list[str]:
        return api.process.output().splitlines()[before:]

    def of_known_callers() -> list[str]:
        return [line for line in added() if "api.shield" in line]

    for _ in range(100):
        for sent in (MALFORMED["a TLS handshake"], MALFORMED["an unknown method"], MALFORMED["a folded header"]):
            assert api.ask(sent).status == 400
        api.ask(request(b"/v1/jobs?" + SECRET, UPGRADES["websocket"] + b"Authorization: " + SECRET + b"\r\n"))
        with api.connect() as caller:
            caller.sendall(post(b"Content-Length: 100\r\n", SECRET))
    real.wait_until(lambda: "refused before authentication" in api.process.output(), 20)
    real.wait_until(lambda: len(of_known_callers()) >= 100, 20)
    after = api.process.output()
    assert [" key=" in line for line in of_known_callers()] == [True] * 100, "those who left before their body was read"
    assert len(added()) - len(of_known_callers()) < 10
    assert SECRET.decode() not in after
    assert "unexpected" not in after and "ERROR" not in after
    assert re.search(r"refused before authentication: \d+ with 400", after)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(1, 400), max_size=12))
def test_a_request_means_the_same_however_it_is_cut(api: RawApi, cuts: list[int]) -> None:
    whole = chunked(JOB, b"A: b\r\n", AUTHORIZED + UPGRADES["h2c"]) + request()
    with api.connect() as caller:
        at = 0
        for cut in cuts:
            caller.sendall(whole[at : at + cut])
            at += cut
        caller.sendall(whole[at:])
        assert [answer.status for answer in raw.read_all(caller, 2)] == [202, 200]


LINES = [
    b"GET /healthz HTTP/1.1\r\n", b"POST /v1/jobs HTTP/1.1\r\n", b"POST /v1/files HTTP/1.0\r\n", b"Host: api\r\n",
    b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
    b"Connection: upgrade\r\n", b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n", AUTHORIZED,
    b"\r\n", b"5\r\n", b"hello\r\n", b"0\r\n", JOB,
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(parts=st.lists(st.one_of(st.sampled_from(LINES), st.binary(max_size=20)), max_size=14))
def test_whatever_bytes_arrive_nothing_is_a_mistake_of_ours(api: RawApi, parts: list[bytes]) -> None:
    with api.connect() as caller:
        caller.settimeout(0.3)
        raw.send(caller, b"".join(parts))
        seen = b""
        with suppress(TimeoutError, ConnectionResetError):
            while data := caller.recv(65536):
                seen += data
    assert not re.search(rb"HTTP/1.1 5\d\d", seen)
    assert b"text/plain" not in seen
    assert api.process.is_running


def test_the_parser_of_forms_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    upload = Upload("multipart/form-data; boundary=x", 100, 100)
    with caplog.at_level(logging.DEBUG), pytest.raises(InvalidInput):
        list(upload.chunks(io.BytesIO(b"--x\r\nA: b\r\n\r\n" + SECRET + b"\r\n--xZ")))
    with caplog.at_level(logging.DEBUG), pytest.raises(InvalidInput):
        list(upload.chunks(io.BytesIO(b"--Z" + SECRET)))
    assert caplog.messages == []
