"""Turns at what is scarce in a process. One tenant never holds all of it, and tenants take turns."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple
from uuid import UUID

from lengthwise.errors import DatabaseUnavailable, TooBusy

#: How long a request waits for its turn. Whoever sends it waits at least as long for an answer, as a rule.
_PATIENCE_SECONDS = 30.0


class _TurnWaiter(NamedTuple):
    tenant: UUID
    #: Set when the turn has come.
    turn: asyncio.Future[None]


class Turns:
    """At most ``places`` requests have a turn at a time, and ``of_tenant`` of one tenant. Used by one event loop.

    Others wait, without a thread: ``max_waiting`` of one tenant. A free place goes to the tenant that holds the fewest,
    and among those to the request that has waited longest.
    """

    def __init__(
        self, places: int, of_tenant: int, max_waiting: int | None = None, patience: float = _PATIENCE_SECONDS
    ) -> None:
        self._places, self._of_tenant = places, of_tenant
        self._max_waiting, self._patience = max_waiting, patience
        self._held: Counter[UUID] = Counter()
        self._waiting: list[_TurnWaiter] = []

    @asynccontextmanager
    async def held(self, tenant: UUID) -> AsyncIterator[None]:
        """A turn, for the duration of the block. Raises ``TooBusy`` if it does not come soon.

        If the block raises ``DatabaseUnavailable``, so do the requests of this tenant that wait, and those of all
        tenants if the database is away: each of them would find it out for itself, one after the other.
        """
        if self._has_room(tenant):
            self._held[tenant] += 1
        else:
            await self._wait(tenant)
        try:
            yield
        except DatabaseUnavailable as error:
            self._turn_away(tenant, error)
            raise
        finally:
            self._give_back(tenant)

    def _has_room(self, tenant: UUID) -> bool:
        return self._held.total() < self._places and self._held[tenant] < self._of_tenant

    async def _wait(self, tenant: UUID) -> None:
        if self._max_waiting is not None:
            n_waiting = sum(each.tenant == tenant for each in self._waiting)
            if n_waiting >= self._max_waiting:
                raise _busy()
        waiter = _TurnWaiter(tenant, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(self._patience):
                await waiter.turn
        except BaseException as error:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
            elif not _is_turned_away(waiter):  # the turn came at the same moment
                self._give_back(tenant)
            if isinstance(error, TimeoutError):
                raise _busy() from None
            raise

    def _turn_away(self, tenant: UUID, error: DatabaseUnavailable) -> None:
        for waiter in [each for each in self._waiting if error.is_away or each.tenant == tenant]:
            self._waiting.remove(waiter)
            if not waiter.turn.done():
                again = DatabaseUnavailable(str(error), error.retry_after, error.full, error.is_away)
                waiter.turn.set_exception(again)

    def _give_back(self, tenant: UUID) -> None:
        self._held[tenant] -= 1
        if not self._held[tenant]:
            del self._held[tenant]
        while ready := [each for each in self._waiting if self._has_room(each.tenant)]:
            first = min(ready, key=lambda each: self._held[each.tenant])
            self._waiting.remove(first)
            self._held[first.tenant] += 1
            if not first.turn.done():
                first.turn.set_result(None)


def _is_turned_away(waiter: _TurnWaiter) -> bool:
    turn = waiter.turn
    return turn.done() and not turn.cancelled() and turn.exception() is not None


def _busy() -> TooBusy:
    return TooBusy("too many of your requests are being read", retry_after=5)
