"""Limits each tenant's requests a minute. Every answer, errors included, says how many are left.

The headers are those of draft-ietf-httpapi-ratelimit-headers-10. Every process asks the database, so the limit is exact
for any number of processes. A tenant that the database refused is refused here, too, until the time that it named,
which costs the database nothing.
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
from lengthwise.ledger.accounts.rate import RateDecision

_STATE = "rate_limit"


@dataclass(frozen=True, slots=True)
class _RefusedTenant:
    until: float
    full_at: float


class RateLimits:
    """The tenants that have used up their limit, as this process knows it. Used by one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._refused: dict[UUID, _RefusedTenant] = {}

    async def count(self, request: Request, caller: Caller) -> None:
        """Counts a request if its tenant has a limit. Raises ``TooBusy`` and ``Unavailable``."""
        limit = caller.max_requests_per_minute
        if limit is None:
            return
        decision = self._remembered(caller.tenant_id)
        if decision is None:
            decision = await run_in_threadpool(self._take, caller.tenant_id, limit)
        setattr(request.state, _STATE, _headers(decision, limit))
        if not decision.is_allowed:
            now = time.monotonic()
            self._refused[caller.tenant_id] = _RefusedTenant(now + decision.wait, now + decision.full_in)
            wait = max(1, math.ceil(decision.wait))
            raise TooBusy(f"your requests are more than {limit} a minute, which is the limit", retry_after=wait)

    def _remembered(self, tenant: UUID) -> RateDecision | None:
        """The last refusal, for as long as it holds."""
        refused, now = self._refused.get(tenant), time.monotonic()
        if refused is None:
            return None
        if now >= refused.until:
            del self._refused[tenant]
            return None
        return RateDecision(False, 0, refused.full_at - now, refused.until - now)

    def _take(self, tenant: UUID, limit: int) -> RateDecision:
        with translated(), self._database.begin() as connection:
            return rate.take_request(connection, tenant, limit)


def _headers(decision: RateDecision, limit: int) -> list[tuple[bytes, bytes]]:
    state = f'"requests";r={decision.left};t={math.ceil(decision.full_in)}'
    return [(b"ratelimit-policy", f'"requests";q={limit};w=60'.encode()), (b"ratelimit", state.encode())]


class RateHeaders:
    """A middleware that adds the rate-limit headers to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start" and (found := scope.get("state", {}).get(_STATE)):
                message["headers"] = [*message.get("headers", []), *found]
            await send(message)

        await self._app(scope, receive, send_with_headers)
