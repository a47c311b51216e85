"""Checks webhooks' hosts while a request waits for it, so that the caller learns of a wrong one at once.

This check is a courtesy. Every delivery looks the name up again and dials only addresses that it has checked. So a
name without an answer in time is accepted, and no request waits long for somebody's name server.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Sequence
from ipaddress import ip_address
from time import monotonic
from uuid import UUID

from lengthwise.errors import InvalidInput
from lengthwise.webhooks import lookup
from lengthwise.webhooks.lookup import Unresolvable
from lengthwise.webhooks.reserved import Address, Network
from lengthwise.webhooks.target import ForbiddenAddress, parse, require_allowed

#: How long an answer counts, also the answer that there is no such name.
_KNOWN_SECONDS = 30.0
_MOST_KNOWN = 10_000
#: Look-ups of one tenant at a time. Further names are accepted unchecked.
_MOST_OF_TENANT = 4
#: What ``localhost`` and the names below it stand for (RFC 6761). Nobody has to be asked for them.
_LOOPBACK = ip_address("127.0.0.1"), ip_address("::1")


class HostCheck:
    """One for each process of the API. It belongs to the event loop."""

    def __init__(self, allowed: Sequence[Network], seconds: float) -> None:
        self._allowed, self._seconds = tuple(allowed), seconds
        #: Until when it is known whether a name has a forbidden address.
        self._known: OrderedDict[str, tuple[float, bool]] = OrderedDict()
        #: Since when a name is being looked up.
        self._asked: dict[str, tuple[float, asyncio.Future[list[Address]]]] = {}
        self._of_tenant: Counter[UUID] = Counter()

    async def refusal(self, tenant: UUID, url: str | None) -> InvalidInput | None:
        """What is wrong with a webhook's URL; None if nothing is, or if that is not known in time."""
        try:
            if url is not None and await self._is_forbidden(tenant, parse(url).host):
                return ForbiddenAddress()
        except InvalidInput as error:
            return error
        return None

    async def check(self, tenant: UUID, url: str | None) -> None:
        """Raises ``InvalidInput`` if the URL is wrong, and ``ForbiddenAddress`` if its host must not be called."""
        if found := await self.refusal(tenant, url):
            raise found

    def close(self) -> None:
        """Forgets the look-ups that are still waiting."""
        for _, answer in self._asked.values():
            answer.cancel()

    async def _is_forbidden(self, tenant: UUID, host: str) -> bool:
        if (address := lookup.literal(host)) is not None:
            return _is_forbidden([address], self._allowed)
        if _is_loopback_name(host) and all(_is_forbidden([address], self._allowed) for address in _LOOPBACK):
            return True
        until, is_forbidden = self._known.get(host, (0.0, False))
        if until > monotonic():
            return is_forbidden
        if host not in self._asked and not self._ask(tenant, host):
            return False
        since, answer = self._asked[host]
        # Whoever asks for the same name later waits only for the rest of the time.
        await asyncio.wait([answer], timeout=max(since + self._seconds - monotonic(), 0))
        return answer.done() and _answer_is_forbidden(answer, self._allowed)

    def _ask(self, tenant: UUID, host: str) -> bool:
        """Begins a look-up, unless there are too many."""
        if self._of_tenant[tenant] >= _MOST_OF_TENANT:
            return False
        try:
            answer = asyncio.wrap_future(lookup.begin(host))
        except Unresolvable:
            return False
        self._of_tenant[tenant] += 1
        self._asked[host] = monotonic(), answer
        answer.add_done_callback(lambda _: self._note(tenant, host))
        return True

    def _note(self, tenant: UUID, host: str) -> None:
        _, answer = self._asked.pop(host)
        self._of_tenant[tenant] -= 1
        if not self._of_tenant[tenant]:
            del self._of_tenant[tenant]
        if answer.cancelled():
            return
        self._known[host] = monotonic() + _KNOWN_SECONDS, _answer_is_forbidden(answer, self._allowed)
        self._known.move_to_end(host)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)


def _is_loopback_name(host: str) -> bool:
    return host.rpartition(".")[2] == "localhost"


def _answer_is_forbidden(answer: asyncio.Future[list[Address]], allowed: Sequence[Network]) -> bool:
    return not answer.cancelled() and answer.exception() is None and _is_forbidden(answer.result(), allowed)


def _is_forbidden(addresses: Sequence[Address], allowed: Sequence[Network]) -> bool:
    try:
        require_allowed(addresses, allowed)
    except ForbiddenAddress:
        return True
    return False
