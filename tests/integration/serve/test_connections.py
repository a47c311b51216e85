"""Connections are bounded in total and for each address, and idle ones keep nobody out."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests import servers as real
from tests.integration.serve import raw
from tests.integration.serve.raw import AUTHORIZED, JOB, JSON, RawApi, request
from tests.servers import wait_until

HALF = b"GET /healthz HTTP/1.1\r\nHost: api\r\nX-Half: "
UPLOAD = request(b"/v1/jobs", AUTHORIZED + JSON + b"Content-Length: %d\r\n" % len(JOB), method=b"POST")


@pytest.fixture(scope="module")
def direct(servers: real.Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawApi]:
    """An API that trusts no proxy on this machine."""
    limits = {"max_connections_per_address": 5, "trusted_proxies": "192.0.2.1"}
    with raw.serving(servers, tmp_path_factory.mktemp("api"), **limits) as found:
        yield found


@pytest.fixture(scope="module")
def small(servers: real.Urls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawApi]:
    limits = {"max_connections": 8, "max_connections_per_address": 1}
    with raw.serving(servers, tmp_path_factory.mktemp("api"), **limits) as found:
        yield found


def test_one_address_has_few_connections(direct: RawApi) -> None:
    with ExitStack() as stack:
        callers = [stack.enter_context(direct.connect()) for _ in range(5)]
        for caller in callers:
            caller.sendall(request())
            assert raw.read(caller).status == 200
        with direct.connect() as sixth:
            answer = raw.read(sixth)
            assert (answer.status, answer.headers["retry-after"]) == (429, "1")
            assert answer.headers["content-type"] == "application/problem+json"
            assert raw.is_closed(sixth)
        callers[0].close()

        def has_room() -> bool:
            with direct.connect() as again:
                raw.send(again, request())
                return raw.read(again).status == 200

        wait_until(has_room, 15)


def test_a_trusted_proxy_is_limited_in_total_only_and_idle_connections_make_room(small: RawApi) -> None:
    with ExitStack() as stack:
        idle = [stack.enter_context(small.connect()) for _ in range(20)]
        for caller in idle:
            raw.send(caller, HALF)
        with raw.bystander(small):
            for caller in idle[:12]:
                assert raw.is_closed(caller)


def test_busy_connections_are_not_ended_for_others(small: RawApi) -> None:
    with ExitStack() as stack:
        busy = [stack.enter_context(small.connect()) for _ in range(8)]
        for caller in busy:
            caller.sendall(UPLOAD + JOB[:10])

        def is_full() -> bool:
            with small.connect() as caller:
                raw.send(caller, request())
                answer = raw.read(caller)
            return answer.status == 503 and answer.headers["retry-after"] == "1"

        wait_until(is_full, 15)
        for caller in busy:
            caller.sendall(JOB[10:])
            assert raw.read(caller).status == 202
