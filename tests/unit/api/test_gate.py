"""Which callers share a limit of connections."""

import asyncio

import pytest

from api.problem import ErrorForms
from api.refusals import RefusalTally
from api.serve.gate import Gate
from lengthwise.settings import Settings


class FakeConnection:
    waits_since = None

    def look(self) -> None: ...
    def abort(self) -> None: ...


@pytest.mark.parametrize(
    ("first", "second", "are_one"),
    [
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("127.0.0.1", "127.0.0.1", False),
        ("::ffff:127.0.0.1", "127.0.0.1", False),
        ("::1", "::1", False),
        (None, None, False),
    ],
)
def test_an_address_is_counted_and_a_trusted_proxy_is_not(first: str, second: str, are_one: bool) -> None:
    async def refuses() -> bool:
        gate = Gate(Settings(max_connections_per_address=1), ErrorForms(), RefusalTally())
        connection = FakeConnection()
        assert gate.admit(connection, first) is None
        is_refused = gate.admit(FakeConnection(), second) is not None
        gate.forget(connection)
        assert gate.admit(FakeConnection(), second) is None or not is_refused
        return is_refused

    assert asyncio.run(refuses()) == are_one


def test_a_connection_that_cannot_be_looked_at_is_ended_and_the_others_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken(FakeConnection):
        n_looks = n_aborts = 0

        def look(self) -> None:
            self.n_looks += 1
            raise OSError

        def abort(self) -> None:
            self.n_aborts += 1

    class Sound(Broken):
        def look(self) -> None:
            self.n_looks += 1

    async def watched(*connections: Broken) -> None:
        gate = Gate(Settings(), ErrorForms(), RefusalTally())
        for each in connections:
            gate.admit(each, None)
        await asyncio.sleep(0.1)

    monkeypatch.setattr("api.serve.gate.LOOK_SECONDS", 0.01)
    first, second, third = Sound(), Broken(), Sound()
    asyncio.run(watched(first, second, third))
    assert (first.n_aborts, second.n_aborts > 0, third.n_aborts) == (0, True, 0)
    assert min(each.n_looks for each in (first, second, third)) > 1
