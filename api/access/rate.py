"""Holds a tenant to its requests a minute, and tells it where it stands, on every answer, errors too.

The headers are those of draft-ietf-httpapi-ratelimit-headers-10. Every process asks the database, so the limit is exact
however many there are; what the database refused is refused here until the time that it named, and costs it nothing.
"""

import math
import time
from dataclasses import dataclass
from uuid import UUID

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.access.caller import Caller
from lengthwise.database import Database, translated
from lengthwise.errors import TooBusy
from lengthwise.ledger.accounts import rate
from lengthwise.ledger.accounts.rate import Taken

_STATE = "rate_limit"


@dataclass(frozen=True, slots=True)
class _RefusedTenant:
    until: float
    full_at: float


class RateLimits:
    """What this process knows of the tenants that have a limit. Used by one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._refused: dict[UUID, _RefusedTenant] = {}

    async def count(self, request: Request, caller: Caller) -> None:
        """Counts a request of a tenant that is limited. Raises ``TooBusy`` and ``Unavailable``."""
        limit = caller.max_requests_per_minute
        if limit is None:
            return
        taken = self._remembered(caller.tenant_id)
        if taken is None:
            taken = await run_in_threadpool(self._take, caller.tenant_id, limit)
        setattr(request.state, _STATE, _headers(taken, limit))
        if not taken.is_allowed:
            now = time.monotonic()
            self._refused[caller.tenant_id] = _RefusedTenant(now + taken.wait, now + taken.full_in)
            wait = max(1, math.ceil(taken.wait))
            raise TooBusy(f"your requests are more than {limit} a minute, which is the limit", retry_after=wait)

    def _remembered(self, tenant: UUID) -> Taken | None:
        """That nothing is left, as long as this is certain."""
        refused, now = self._refused.get(tenant), time.monotonic()
        if refused is None:
            return None
        if now >= refused.until:
            del self._refused[tenant]
            return None
        return Taken(False, 0, refused.full_at - now, refused.until - now)

    def _take(self, tenant: UUID, limit: int) -> Taken:
        with translated(), self._database.begin() as connection:
            return rate.take(connection, tenant, limit)


def _headers(taken: Taken, limit: int) -> list[tuple[bytes, bytes]]:
    stands = f'"requests";r={taken.left};t={math.ceil(taken.full_in)}'
    return [(b"ratelimit-policy", f'"requests";q={limit};w=60'.encode()), (b"ratelimit", stands.encode())]


class RateHeaders:
    """A layer that adds them to whatever the request is answered with."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def telling(message: Message) -> None:
            if message["type"] == "http.response.start" and (found := scope.get("state", {}).get(_STATE)):
                message["headers"] = [*message.get("headers", []), *found]
            await send(message)

        await self._app(scope, receive, telling)
