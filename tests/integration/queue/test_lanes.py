"""A slow or dead receiver delays no other receiver, and does not get many attempts at once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from socket import socket
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.integration.conftest import submit
from tests.integration.webhooks.hooks import PATH, Answers, deliveries, register, status
from tests.integration.webhooks.test_http_attempt import Script, ScriptedReceiver, read_request
from tests.ledger import knobs, sql
from tests.servers import wait_until

pytestmark = pytest.mark.usefixtures("reachable")


class Held:
    """A receiver that holds all requests until it is released, and counts those that wait."""

    def __init__(self, stack: ExitStack) -> None:
        self.n_waiting, self.most = 0, 0
        self.may_answer = threading.Event()
        self._lock = threading.Lock()
        self._pool = stack.enter_context(ThreadPoolExecutor(32))
        stack.callback(self.may_answer.set)

    def __call__(self, connection: socket) -> None:
        self._pool.submit(self._hold, connection.dup())

    def _hold(self, connection: socket) -> None:
        with connection:
            read_request(connection)
            with self._lock:
                self.n_waiting += 1
                self.most = max(self.most, self.n_waiting)
            self.may_answer.wait(20)
            with self._lock:
                self.n_waiting -= 1
            connection.sendall(status(200))


def send(client: TestClient, endpoint: dict[str, Any], times: int) -> None:
    for _ in range(times):
        assert client.post(f"{PATH}/{endpoint['id']}/test").status_code == 202


def test_deliveries_to_a_slow_receiver_delay_no_others(client: TestClient, deliver: Callable[[], None]) -> None:
    script = Answers(status(200))
    with ExitStack() as stack:
        held = Held(stack)
        slow, quick = (stack.enter_context(ScriptedReceiver(each)) for each in (held, script))
        slow_endpoint, quick_endpoint = register(client, slow.url()), register(client, quick.url())
        send(client, slow_endpoint, 20)
        drainer = stack.enter_context(ThreadPoolExecutor(1)).submit(deliver)
        wait_until(lambda: held.n_waiting == 8)
        send(client, quick_endpoint, 5)
        deliver()  # the bell: a worker that drains already looks again
        wait_until(lambda: len(script.received) == 5)
        assert held.n_waiting == 8, "and nothing more is sent to the slow one meanwhile"
        held.may_answer.set()
        drainer.result(30)
    assert held.most == 8
    for endpoint in (slow_endpoint, quick_endpoint):
        assert {each["state"] for each in deliveries(client, endpoint)} == {"delivered"}


def test_a_jobs_own_webhooks_wait_only_for_the_same_host(client: TestClient, deliver: Callable[[], None]) -> None:
    script = Answers(status(200))
    with ExitStack() as stack:
        held = Held(stack)
        slow, quick = (stack.enter_context(ScriptedReceiver(each)) for each in (held, script))
        for n in range(10):
            job = submit(client, ["abc"], webhook={"url": slow.url(f"/{n}")})
            client.post(job["links"]["cancel"])
        client.post(submit(client, ["abc"], webhook={"url": quick.url()})["links"]["cancel"])
        drainer = stack.enter_context(ThreadPoolExecutor(1)).submit(deliver)
        wait_until(lambda: held.n_waiting == 8 and len(script.received) == 1)
        held.may_answer.set()
        drainer.result(30)
    assert held.most == 8
    assert sql("SELECT DISTINCT state FROM deliveries") == [("delivered",)]


def test_a_failing_receiver_gets_one_attempt_at_a_time(client: TestClient, deliver: Callable[[], None]) -> None:
    with ExitStack() as stack:
        held = Held(stack)
        slow = stack.enter_context(ScriptedReceiver(held))
        endpoint = register(client, slow.url())
        sql("UPDATE webhook_endpoints SET failing_since = now()")
        send(client, endpoint, 6)
        drainer = stack.enter_context(ThreadPoolExecutor(1)).submit(deliver)
        wait_until(lambda: held.n_waiting == 1)
        deliver()
        assert held.n_waiting == 1
        held.may_answer.set()
        drainer.result(30)
    assert held.most <= 8
    assert {each["state"] for each in deliveries(client, endpoint)} == {"delivered"}


def test_at_most_as_many_attempts_run_as_there_are_threads(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, deliver: Callable[[], None]
) -> None:
    knobs(monkeypatch, webhook_concurrency=3)
    with ExitStack() as stack:
        held = Held(stack)
        slow = stack.enter_context(ScriptedReceiver(held))
        endpoint = register(client, slow.url())
        send(client, endpoint, 7)
        drainer = stack.enter_context(ThreadPoolExecutor(1)).submit(deliver)
        wait_until(lambda: held.n_waiting == 3)
        held.may_answer.set()
        drainer.result(30)
    assert held.most == 3
    assert {each["state"] for each in deliveries(client, endpoint)} == {"delivered"}


def test_a_delivery_to_a_hostile_receiver_is_retried(client: TestClient, deliver: Callable[[], None]) -> None:
    def reset(connection: socket) -> None:
        read_request(connection)

    flood = b"HTTP/1.1 500 Oops\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 10_000_000
    hostile: list[Script] = [reset, Answers(flood), Answers(status(302, b"Location: http://127.0.0.1:1/\r\n"))]
    with ExitStack() as stack:
        urls = [stack.enter_context(ScriptedReceiver(script)).url() for script in hostile] + ["http://127.0.0.1:1/"]
        made = [register(client, url) for url in urls]
        for endpoint in made:
            send(client, endpoint, 1)
        deliver()
        busy = register(
            client, stack.enter_context(ScriptedReceiver(Answers(status(429, b"Retry-After: 3000\r\n")))).url()
        )
        send(client, busy, 1)
        deliver()
    found = [deliveries(client, endpoint)[0] for endpoint in (*made, busy)]
    assert {each["state"] for each in found} == {"pending"}
    outcomes = [(each["attempts"][0]["status"], each["attempts"][0]["error"]) for each in found]
    assert outcomes[1:] == [(500, None), (302, "redirect"), (None, "connect_refused"), (429, None)]
    assert outcomes[0][1] in ("reset", "protocol")
    [(seconds,)] = sql(
        "SELECT extract(epoch FROM next_attempt_at - now())::float8 FROM deliveries ORDER BY created_at DESC LIMIT 1"
    )
    assert seconds > 2_900, "as long as it asked for"
