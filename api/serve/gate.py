"""What all connections of this process share: how many there may be, who looks after them, and what is logged.

Nothing here is authenticated yet, so what is refused is counted and logged once a minute, not once a refusal.
"""

import asyncio
import ipaddress
import logging
from collections import Counter
from typing import Protocol

from api.problem import ErrorForms, Problem
from api.refusals import RefusalTally
from lengthwise import logs
from lengthwise.settings import Settings

log = logging.getLogger(__name__)

#: How often each connection is looked at. All its limits of time are counted in these looks, so that a stall of this
#: process is not charged to callers.
LOOK_SECONDS = 1.0
_AGAIN = {"Retry-After": "1"}
_TOO_MANY_OF_ONE = Problem(429, "too busy", "this address has too many open connections", headers=_AGAIN)
_TOO_MANY = Problem(503, "unavailable", "there are too many open connections", headers=_AGAIN)


class CountedConnection(Protocol):
    """What the gate asks of a connection. ``waits_since`` is the loop's time; None while a request is in progress."""

    @property
    def waits_since(self) -> float | None: ...
    def look(self) -> None: ...
    def abort(self) -> None: ...


class Gate:
    """Used by one event loop."""

    def __init__(self, current: Settings, forms: ErrorForms, refusals: RefusalTally) -> None:
        self.settings = current
        self.forms = forms
        self._addresses: dict[CountedConnection, bytes | None] = {}
        self._counts: Counter[bytes] = Counter()
        self.refusals = refusals
        self._is_ticking = False

    def admit(self, connection: CountedConnection, host: str | None) -> Problem | None:
        """Counts a new connection, or says why there is no room for it. ``host`` is the caller's IP address."""
        self._tick_from_now_on()
        address = self._counted_address(host)
        if address and self._counts[address] >= self.settings.max_connections_per_address:
            return _TOO_MANY_OF_ONE
        if len(self._addresses) >= self.settings.max_connections and not self._make_room():
            return _TOO_MANY
        self._addresses[connection] = address
        if address:
            self._counts[address] += 1
        return None

    def forget(self, connection: CountedConnection) -> None:
        """Uncounts a connection that has ended, if it was counted."""
        address = self._addresses.pop(connection, None)
        if address:
            self._counts[address] -= 1
            if not self._counts[address]:
                del self._counts[address]

    def _counted_address(self, host: str | None) -> bytes | None:
        """What is counted as one caller: an IPv4 address, or a /64 network of IPv6. None for a trusted proxy."""
        if host is None:
            return None
        address = ipaddress.ip_address(host.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        if any(address in network for network in self.settings.trusted_proxies):
            return None
        return address.packed[:8]

    def _make_room(self) -> bool:
        """Ends the connection that has waited longest without a request, so that idle ones keep nobody out."""
        waiting = [(since, each) for each in self._addresses if (since := each.waits_since) is not None]
        if not waiting:
            return False
        _, longest = min(waiting, key=lambda found: found[0])
        self.forget(longest)
        longest.abort()
        return True

    def _tick_from_now_on(self) -> None:
        if not self._is_ticking:
            self._is_ticking = True
            asyncio.get_running_loop().call_later(LOOK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._is_ticking = False
        for connection in list(self._addresses):
            try:
                connection.look()
            except Exception as error:  # one connection's error must not keep all others open
                log.warning(
                    "a connection was ended, because looking at it failed: %s",
                    type(error).__name__,
                    extra=logs.raised(error),
                )
                connection.abort()
        self.refusals.tell(asyncio.get_running_loop().time())
        if self._addresses or self.refusals.are_untold:
            self._tick_from_now_on()
