"""A request waits for a webhook's host for a short time only, and a tenant holds few look-ups."""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from uuid import uuid4

import pytest

from lengthwise.errors import InvalidInput
from lengthwise.webhooks import host_check, lookup
from lengthwise.webhooks.host_check import HostCheck
from lengthwise.webhooks.lookup import Unresolvable
from lengthwise.webhooks.target import ForbiddenAddress, resolve

TENANT, ANOTHER = uuid4(), uuid4()
SECONDS = 0.2


class Names:
    """Addresses of names. A name without one gets no answer until ``closed``."""

    def __init__(self) -> None:
        self.known = {"inside.example": "10.0.0.1", "outside.example": "8.8.8.8"}
        self.asked: list[str] = []
        self.closed = threading.Event()

    def getaddrinfo(self, host: str, port: object, **_: object) -> list[tuple[object, ...]]:
        self.asked.append(host)
        if host not in self.known:
            self.closed.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (self.known[host], 0))]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    made = Names()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    yield made
    made.closed.set()


def run(scene: Callable[[HostCheck], Awaitable[None]]) -> None:
    async def running() -> None:
        check = HostCheck((), SECONDS)
        await scene(check)
        check.close()

    asyncio.run(running())


async def timed(check: HostCheck, host: str, tenant: object = TENANT) -> tuple[InvalidInput | None, float]:
    begun = time.monotonic()
    found = await check.refusal(tenant, f"https://{host}/hook")  # type: ignore[arg-type]
    return found, time.monotonic() - begun


def test_a_silent_name_is_taken_after_a_short_time_and_then_at_once(names: Names) -> None:
    async def scene(check: HostCheck) -> None:
        found, took = await timed(check, "silent.example")
        assert found is None
        assert SECONDS / 2 < took < 5
        await asyncio.sleep(SECONDS)
        found, took = await timed(check, "silent.example", ANOTHER)
        assert found is None
        assert took < SECONDS / 2
        assert names.asked == ["silent.example"]

    run(scene)


def test_a_late_answer_counts_for_the_next_request(names: Names) -> None:
    async def scene(check: HostCheck) -> None:
        assert (await timed(check, "silent.example"))[0] is None
        names.known["silent.example"] = "10.0.0.1"
        names.closed.set()  # this look-up ends without an address
        await asyncio.sleep(SECONDS)
        assert (await timed(check, "silent.example"))[0] is None
        assert names.asked == ["silent.example"]

    run(scene)


def test_a_tenant_holds_few_look_ups_and_another_is_checked_meanwhile(names: Names) -> None:
    async def scene(check: HostCheck) -> None:
        await asyncio.gather(*(timed(check, f"silent{at}.example") for at in range(20)))
        assert len(names.asked) == host_check._MOST_OF_TENANT
        found, took = await timed(check, "inside.example")
        assert found is None
        assert took < SECONDS / 2
        found, _ = await timed(check, "inside.example", ANOTHER)
        assert isinstance(found, ForbiddenAddress)

    run(scene)


def test_answers_are_remembered_for_a_while(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(check: HostCheck) -> None:
        for _ in range(3):
            assert isinstance((await timed(check, "inside.example"))[0], ForbiddenAddress)
            assert (await timed(check, "outside.example"))[0] is None
        assert names.asked == ["inside.example", "outside.example"]
        names.known["outside.example"] = "127.0.0.1"
        monkeypatch.setattr(host_check, "monotonic", lambda: time.monotonic() + host_check._KNOWN_SECONDS)
        assert isinstance((await timed(check, "outside.example"))[0], ForbiddenAddress)

    run(scene)


def test_what_is_remembered_has_a_limit(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_check, "_MOST_KNOWN", 2)
    names.known |= {f"n{at}.example": "10.0.0.1" for at in range(5)}

    async def scene(check: HostCheck) -> None:
        for at in range(5):
            await timed(check, f"n{at}.example")
        assert list(check._known) == ["n3.example", "n4.example"]

    run(scene)


def test_requests_for_the_same_name_share_a_look_up(names: Names) -> None:
    async def scene(check: HostCheck) -> None:
        found = await asyncio.gather(*(timed(check, "silent.example") for _ in range(30)))
        assert max(took for _, took in found) < 5
        assert names.asked == ["silent.example"]

    run(scene)


@pytest.mark.parametrize(
    "host", ["localhost", "a.LOCALHOST.", "127.0.0.1", "[::1]", "169.254.169.254", "0x7f.1", "a b"]
)
def test_an_address_and_a_wrong_url_need_no_look_up(names: Names, host: str) -> None:
    async def scene(check: HostCheck) -> None:
        assert isinstance((await timed(check, host))[0], InvalidInput)
        with pytest.raises(InvalidInput):
            await check.check(TENANT, f"https://{host}/")
        assert names.asked == []

    run(scene)


def test_the_threads_of_look_ups_have_a_limit(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "_places", threading.BoundedSemaphore(2))
    for at in range(5):
        begun = time.monotonic()
        with pytest.raises(Unresolvable):
            resolve(f"silent{at}.example", (), timeout=0.05)
        assert time.monotonic() - begun < 5
    assert len(names.asked) == 2
    names.closed.set()
    assert [str(each) for each in resolve("outside.example", (), timeout=5)] == ["8.8.8.8"]
