"""A whole run with a mark in everything that a caller can write. No log, process title or message to Redis has one."""

import base64
import json
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.caller import bearer
from tests.e2e import leaky_engine
from tests.faults.canary import values
from tests.servers import REDIS_VARIABLE, Up, processes_mentioning, redis_client, up, wait_until

ROOT = Path(__file__).parents[2]
#: The mark. It stands in every field, and what follows it names the field, for the report of a leak.
MARK = "kanary"
_FORBIDDEN = (MARK.encode(), MARK[::-1].encode(), MARK.encode("utf-16-le"), MARK.encode().hex().encode())
#: What every line of a log in JSON has.
_FIELDS = {"time", "level", "logger", "message", "role", "worker", "pid"}
_SECRET = "whsec_" + base64.b64encode(b"kanary-secret-0123456789abcdef").decode()
_TABLE = {"content-type": "text/csv", "lengthwise-job": '{"kind":"generate"}'}
_PARQUET = _TABLE | {"content-type": "application/vnd.apache.parquet"}
_ENDED = ("completed", "cancelled", "failed", "expired")


class _Receiver(BaseHTTPRequestHandler):
    """Answers 200 below /good, else 500, and always with a mark."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200 if self.path.startswith("/good") else 500)
        self.send_header("X-Answer", f"{MARK}-answer-header")
        self.end_headers()
        self.wfile.write(f"{MARK}-answer".encode())

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.fixture
def receiver() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_log_shows_what_a_caller_wrote(form: str, data: Path, tmp_path: Path, receiver: str) -> None:
    engines = tmp_path / "engines"
    environment = {
        "LENGTHWISE_MODELS": str(leaky_engine.install(engines)),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{engines}",
        "LENGTHWISE_LOG_FORMAT": form,
        "LENGTHWISE_LOG_LEVEL": "DEBUG",
        "LENGTHWISE_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8",
        "LENGTHWISE_LEASE_SECONDS": "3",
        "LENGTHWISE_HEARTBEAT_SECONDS": "1",
        "LENGTHWISE_MAX_DEATHS": "2",
    }
    with up(data, environment=environment) as running:
        url = running.wait_ready()
        with httpx.Client(base_url=url, headers=_headers(running.key()), timeout=60) as client:
            _everything_that_is_taken(client, receiver)
            _everything_that_is_refused(client)
            _what_is_no_http(url)
            _all_ends(client)
        assert processes_mentioning(MARK) == []
        _look_into_redis(running)
        assert running.stop() == 0
    logs = [*sorted((data / "logs").iterdir()), running.said, running.progress]
    assert {"api.log", "generate-1.log", "deliver-1.log"} <= {log.name for log in logs}
    assert [(log.name, found) for log in logs if (found := _leaks(log.read_bytes()))] == []
    if form == "json":
        for name in ("api", "generate-1", "deliver-1"):
            _is_json(data / "logs" / f"{name}.log")


def _headers(key: str) -> dict[str, str]:
    marked = ("User-Agent", "X-Request-Id", "Referer", "Cookie", "traceparent", "tracestate", "X-Forwarded-For")
    return bearer(key) | {name: f"{MARK}-{name.lower()}" for name in marked}


def _everything_that_is_taken(client: httpx.Client, receiver: str) -> None:
    texts = [f"{MARK}-text {each}" for each in ("good", *_failures())]
    items = [
        {"id": f"{MARK}-id-{at}", "text": text, "metadata": {f"{MARK}-k": f"{MARK}-v"}} for at, text in enumerate(texts)
    ]
    for path in ("good", "bad"):
        hook = {"url": f"{receiver}/{path}/{MARK}-url?{MARK}-query", "secret": _SECRET}
        named = {"name": f"{MARK}-name", "tags": [f"{MARK}-tag"], "source_file": f"{MARK}-file.csv"}
        job = {"kind": "generate", "items": items, "webhook": hook, "stop": [f"{MARK}-stop"], **named}
        answer = client.post("/v1/jobs", json=job, headers={"Idempotency-Key": f"{MARK}-key-{path}"})
        assert answer.status_code == 202, answer.text
        assert client.post("/v1/jobs/estimate", json=job).status_code == 200
    found = client.get("/v1/jobs", params={"name": MARK, "tag": f"{MARK}-tag", "kind": f"{MARK}-kind", "model": MARK})
    assert (found.status_code, found.json()["data"]) == (200, []), found.text
    endpoint = {"url": f"{receiver}/good/{MARK}-endpoint", "events": ["job.*"], "description": f"{MARK}-described"}
    assert client.post("/v1/webhook-endpoints", json=endpoint | {"secret": _SECRET}).status_code == 201
    table = f"text,{MARK}-column\n{MARK}-cell,{MARK}-more\n"
    lines = f'{{"kind":"generate"}}\n{{"text":"{MARK}-line"}}\n'
    for content, headers in ((table, _TABLE), (lines, {"content-type": "application/x-ndjson"})):
        answer = client.post("/v1/jobs", content=content, headers=headers)
        assert answer.status_code == 202, answer.text
    assert client.post("/v1/keys", json={"name": f"{MARK}-key-name", "scopes": ["read"]}).status_code == 201
    assert client.post("/v1/tenants", json={"name": f"{MARK}-tenant"}).status_code == 201
    _openai(client)


def _failures() -> list[str]:
    kinds = (leaky_engine.FAILS, leaky_engine.IMMENSE, leaky_engine.AWAY, leaky_engine.THREAD, leaky_engine.UNEXPECTED)
    return [mark * 3 for mark in kinds]


def _openai(client: httpx.Client) -> None:
    body = {"model": "echo", "prompt": f"{MARK}-prompt", "user": f"{MARK}-user"}
    assert client.post("/v1/completions", json=body).status_code == 200
    good = {"custom_id": f"{MARK}-custom", "method": "POST", "url": "/v1/completions", "body": body}
    wrong = good | {"custom_id": f"{MARK}-wrong", "body": {"model": "echo", f"{MARK}-field": f"{MARK}-value"}}
    for lines in ([good], [good, wrong]):
        content = "\n".join(map(json.dumps, lines)).encode()
        form: dict[str, Any] = {"data": {"purpose": "batch"}, "files": {"file": (f"{MARK}-name.jsonl", content)}}
        file = client.post("/v1/files", **form).json()["id"]
        wanted = {"input_file_id": file, "endpoint": "/v1/completions", "completion_window": "24h"}
        named = {"metadata": {f"{MARK}-meta": f"{MARK}-meta"}}
        assert client.post("/v1/batches", json=wanted | named).status_code == 200


def _everything_that_is_refused(client: httpx.Client) -> None:
    multipart = {"content-type": f"multipart/form-data; boundary={MARK}"}
    refused: list[tuple[str, str, dict[str, Any]]] = [
        ("POST", "/v1/jobs", {"content": f'{{"kind": "{MARK}', "headers": {"content-type": "application/json"}}),
        ("POST", "/v1/jobs", {"json": {"kind": f"{MARK}-kind", "items": [f"{MARK}-text"]}}),
        ("POST", "/v1/jobs", {"json": {"kind": "generate", f"{MARK}-field": 1, "items": [f"{MARK}-text"]}}),
        ("POST", "/v1/jobs", {"json": {"kind": "generate", "model": f"{MARK}-model", "items": ["a"]}}),
        ("POST", "/v1/jobs", {"content": f"{MARK}", "headers": {"content-type": f"{MARK}/{MARK}"}}),
        ("POST", "/v1/jobs", {"content": f"{MARK}", "headers": {"content-encoding": "gzip"}}),
        ("POST", "/v1/jobs", {"content": f"PAR1{MARK}PAR1", "headers": _PARQUET}),
        ("POST", "/v1/jobs", {"content": "a,b\n1\n", "headers": _TABLE | {"lengthwise-job": MARK}}),
        ("POST", "/v1/jobs", {"json": {"kind": "generate", "items": ["a"], "webhook": {"url": f"ftp://{MARK}/"}}}),
        ("POST", "/v1/jobs", {"json": {"kind": "generate", "items": ["a"], "webhook": {"url": f"https://{MARK}.invalid/"}}}),
        ("POST", "/v1/files", {"content": f"--{MARK}\r\n{MARK}", "headers": multipart}),
        ("POST", "/v1/completions", {"json": {"model": f"{MARK}-model", "prompt": f"{MARK}-prompt"}}),
        ("POST", "/v1/chat/completions", {"json": {"model": "echo", "messages": [{"role": MARK, "content": MARK}]}}),
        ("GET", f"/v1/jobs/{MARK}-id?{MARK}={MARK}", {}),
        ("GET", f"/{MARK}-path", {}),
        ("GET", f"/v1/jobs?limit={MARK}", {}),
        ("GET", "/v1/jobs", {"headers": {"Authorization": f"Bearer lw_{MARK}-key"}}),
        ("DELETE", f"/v1/keys/{MARK}", {}),
        ("POST", "/page/sign-in", {"data": {"key": f"lw_{MARK}"}, "headers": {"Sec-Fetch-Site": "same-origin"}}),
    ]  # fmt: skip
    for method, path, request in refused:
        answer = client.request(method, path, **request)
        # A host without an answer from its name server in time is taken; then the answer shows the job.
        assert 400 <= answer.status_code < 500 or "invalid/" in str(request), (path, answer.status_code)
        assert answer.status_code == 202 or MARK not in answer.text


def _what_is_no_http(url: str) -> None:
    for sent in (
        f"{MARK} / HTTP/1.1\r\n\r\n",
        f"GET /{MARK} HTTP/9\r\n\r\n",
        f"GET / HTTP/1.1\r\n{MARK}\r\n\r\n",
        f"POST /v1/jobs HTTP/1.1\r\nHost: {MARK}\r\nContent-Length: {MARK}\r\n\r\n",
        f"GET /{MARK * 2000} HTTP/1.1\r\nHost: a\r\n\r\n",
    ):
        where = urlsplit(url)
        with socket.create_connection((str(where.hostname), where.port or 80), timeout=30) as connection:
            connection.sendall(sent.encode())
            assert MARK.encode() not in connection.recv(65_536)


def _all_ends(client: httpx.Client) -> None:
    def states() -> set[str]:
        return {job["state"] for job in client.get("/v1/jobs", params={"limit": 100}).json()["data"]}

    wait_until(lambda: states() <= set(_ENDED), 120)
    jobs = client.get("/v1/jobs", params={"limit": 100}).json()["data"]
    assert sum(job["counts"]["failed"] for job in jobs) > 0, "some items failed"
    hooked = [job["id"] for job in jobs if job["webhook"]]
    wait_until(lambda: all(_attempts(client, job) for job in hooked), 60)


def _attempts(client: httpx.Client, job: str) -> list[Any]:
    sent = client.get(f"/v1/jobs/{job}/deliveries").json()["data"]
    return [attempt for delivery in sent for attempt in delivery["attempts"]]


def _look_into_redis(running: Up) -> None:
    with redis_client(running.environment()[REDIS_VARIABLE]) as client:
        keys = list(client.scan_iter(count=1000))
        assert [key for key in keys if _leaks(key) or any(map(_leaks, values(client, key)))] == []


def _leaks(written: bytes) -> list[bytes]:
    """The lines that hold a mark, in any of its disguises."""
    lines = written.splitlines()
    return [
        line[:400] for line in lines if any(each in line.lower() for each in _FORBIDDEN) or _SECRET.encode() in line
    ]


def _is_json(log: Path) -> None:
    for line in log.read_text("utf-8").splitlines():
        shown = json.loads(line)
        assert shown.keys() >= _FIELDS, line
        assert shown["time"].endswith("Z")
