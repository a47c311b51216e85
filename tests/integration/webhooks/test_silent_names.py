"""A name server that never answers holds neither the request that names a webhook nor any other request."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from starlette.testclient import TestClient

SILENT = ".silent.example"
HOSTS = {"localhost": "127.0.0.1", "inside.example": "10.0.0.7", "public.example": "8.8.8.8"}
WITHOUT_STALL = 3.0


class NameServer:
    """A resolver that knows ``HOSTS``, and never answers for a name below ``SILENT``."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.closed = threading.Event()

    def getaddrinfo(self, host: Any, port: Any, *more: Any, **named: Any) -> list[Any]:
        if host not in HOSTS and not str(host).endswith(".example"):
            return list(real_getaddrinfo(host, port, *more, **named))  # of Postgres, for instance
        self.asked.append(host)
        if host in HOSTS:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (HOSTS[host], 0))]
        if host.endswith(SILENT):
            self.closed.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    @property
    def n_threads(self) -> int:
        return sum(thread.name == "lookup" for thread in threading.enumerate())


real_getaddrinfo = socket.getaddrinfo


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server.getaddrinfo)
    yield server
    server.closed.set()


def post_job(client: TestClient, host: str) -> int:
    job = {"kind": "generate", "items": ["a"], "webhook": {"url": f"https://{host}/hook"}}
    return client.post("/v1/jobs", json=job).status_code


def post_endpoint(client: TestClient, host: str) -> int:
    wanted = {"url": f"https://{host}/hook", "events": ["job.completed"]}
    answer = client.post("/v1/webhook-endpoints", json=wanted)
    if answer.is_success:
        client.delete(f"/v1/webhook-endpoints/{answer.json()['id']}")
    return answer.status_code


def change_endpoint(client: TestClient, host: str) -> int:
    wanted = {"url": "https://8.8.8.8/hook", "events": ["job.completed"]}
    made = client.post("/v1/webhook-endpoints", json=wanted).json()["id"]
    status = client.patch(f"/v1/webhook-endpoints/{made}", json={"url": f"https://{host}/hook"}).status_code
    client.delete(f"/v1/webhook-endpoints/{made}")
    return status


def post_batch(client: TestClient, host: str) -> int:
    line = b'{"custom_id":"a","method":"POST","url":"/v1/embeddings","body":{"model":"echo","input":"a"}}'
    sent = client.post("/v1/files", files={"file": ("a.jsonl", line)}, data={"purpose": "batch"}).json()
    batch = {
        "input_file_id": sent["id"], "endpoint": "/v1/embeddings", "completion_window": "24h",
        "webhook": {"url": f"https://{host}/hook"},
    }  # fmt: skip
    return client.post("/v1/batches", json=batch).status_code


WAYS = pytest.mark.parametrize("post", [post_job, post_endpoint, change_endpoint, post_batch])


@WAYS
def test_silent_names_hold_up_nobody(client: TestClient, names: NameServer, post: Any) -> None:
    with ThreadPoolExecutor(44) as pool:
        sent = [pool.submit(post, client, f"n{at}{SILENT}") for at in range(44)]
        slowest = 0.0
        while not all(each.done() for each in sent):
            asked = time.monotonic()
            assert client.get("/healthz").status_code == 200
            assert client.get("/v1/jobs").status_code == 200
            slowest = max(slowest, time.monotonic() - asked)
    assert {each.result() for each in sent} <= {200, 201, 202}
    assert slowest < WITHOUT_STALL
    assert 1 <= names.n_threads <= 4


@WAYS
def test_a_forbidden_name_is_refused_and_remembered(client: TestClient, names: NameServer, post: Any) -> None:
    refused = 400 if post is post_batch else 422
    assert [post(client, "inside.example") for _ in range(3)] == [refused] * 3
    assert names.asked == ["inside.example"]
    assert post(client, "public.example") < 300
    assert [post(client, "no-such.example") < 300 for _ in range(3)] == [True] * 3
    assert names.asked == ["inside.example", "public.example", "no-such.example"]


@WAYS
def test_the_name_of_the_machine_itself_is_refused_without_a_look_up(
    client: TestClient, names: NameServer, post: Any
) -> None:
    assert post(client, "localhost") == (400 if post is post_batch else 422)
    assert names.asked == []
