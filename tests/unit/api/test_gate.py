"""Which callers share a limit of connections."""

import asyncio

import pytest

from api.problem import ErrorForms
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
        gate = Gate(Settings(max_connections_per_address=1), ErrorForms())
        connection = FakeConnection()
        assert gate.admit(connection, first) is None
        is_refused = gate.admit(FakeConnection(), second) is not None
        gate.forget(connection)
        assert gate.admit(FakeConnection(), second) is None or not is_refused
        return is_refused

    assert asyncio.run(refuses()) == are_one
