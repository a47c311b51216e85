"""Admits keys. What the database says about a key is cached for half a second.

So a revoked key is refused within half a second in every process. Unknown keys are remembered for as long, and cost
the database nothing when they are sent again. Keys that are not remembered are looked up together, one query at a
time, so that guessing keys costs the database no more than that.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from starlette.concurrency import run_in_threadpool

from api.access.caller import Caller
from lengthwise import key as keys
from lengthwise.database import Database, translated
from lengthwise.errors import Unauthorized
from lengthwise.key import INSTALLATION, Scope
from lengthwise.ledger.accounts import key as ledger
from lengthwise.ledger.accounts import tenant
from lengthwise.ledger.accounts.key import Credential
from lengthwise.settings import Settings

log = logging.getLogger(__name__)

#: How long an answer of the database is cached.
_CACHE_SECONDS = 0.5
#: Keys that are cached at most, unknown ones included, and keys that one query looks up at most.
_MAX_CACHED = 10_000
_LOOKUP_KEYS = 1_000
#: The tenant that the first migration makes. The installation is its own.
OPERATOR = UUID(int=1)
#: An unknown key is compared with this, so that it takes as long to refuse as a wrong one.
_NO_KEY_DIGEST = bytes(32)


@dataclass(frozen=True, slots=True)
class _KnownKey:
    credential: Credential | None
    queried_at: float


class Keyring:
    """The keys that this process remembers. Used by one event loop."""

    def __init__(self, database: Database, current: Settings) -> None:
        self._database = database
        self._settings = current
        self._pepper = current.require_key_pepper()
        self._admin = self._digest(current.admin_key.get_secret_value()) if current.admin_key else None
        self._known: OrderedDict[UUID, _KnownKey] = OrderedDict()
        self._pending: dict[UUID, asyncio.Future[Credential | None]] = {}
        self._lookup: asyncio.Task[None] | None = None
        if self._admin is None:
            log.warning("LENGTHWISE_ADMIN_KEY is not set: only keys that exist already are admitted")

    def _digest(self, token: str) -> bytes:
        return keys.digest(token, self._pepper)

    async def admit(self, authorization: Sequence[str]) -> Caller:
        """The caller that sent these headers. Raises ``Unavailable``, and ``Unauthorized`` for any wrong key."""
        token = keys.parse_bearer(authorization)
        if token is None:
            raise Unauthorized
        digest = self._digest(token)
        if keys.digests_match(digest, self._admin or _NO_KEY_DIGEST):
            # The operator is admitted whatever the limits are, even while Postgres is away.
            return Caller(INSTALLATION, OPERATOR, frozenset([Scope.ADMIN]))
        key_id = keys.parse_id(token)
        credential = None if key_id is None else await self._find(key_id)
        if not keys.digests_match(digest, credential.hash if credential else _NO_KEY_DIGEST) or credential is None:
            raise Unauthorized
        return Caller(
            credential.id,
            credential.tenant_id,
            frozenset(credential.scopes),
            tenant.in_force(credential.max_requests_per_minute, self._settings.max_requests_per_minute),
            tenant.in_force(credential.max_open_jobs, self._settings.max_open_jobs),
        )

    async def _find(self, key_id: UUID) -> Credential | None:
        known = self._known.get(key_id)
        if known is not None and time.monotonic() - known.queried_at < _CACHE_SECONDS:
            return known.credential
        answer = self._pending.get(key_id)
        if answer is None:
            answer = self._pending[key_id] = asyncio.get_running_loop().create_future()
        if self._lookup is None:
            # With a context of its own: it works for others than the request that begins it.
            self._lookup = asyncio.create_task(self._look_up(), context=Context())
        return await asyncio.shield(answer)  # other requests may wait for the same answer

    async def _look_up(self) -> None:
        try:
            while self._pending:
                waiting = dict(islice(self._pending.items(), _LOOKUP_KEYS))
                for key_id in waiting:
                    del self._pending[key_id]
                await self._answer(waiting)
        finally:
            self._lookup = None

    async def _answer(self, waiting: dict[UUID, asyncio.Future[Credential | None]]) -> None:
        # The time before the query: a key that is revoked while it runs may still be in the answer.
        queried_at = time.monotonic()
        try:
            found = await run_in_threadpool(self._load, list(waiting))
        except Exception as error:
            # Those who asked meanwhile would otherwise wait for another failure.
            failed = list(waiting.values()) + list(self._pending.values())
            self._pending.clear()
            for answer in failed:
                answer.set_exception(error)
                answer.exception()  # marked as retrieved, in case no request waits for it any more
            return
        for key_id, answer in waiting.items():
            self._cache(key_id, _KnownKey(found.get(key_id), queried_at))
            answer.set_result(found.get(key_id))

    def _load(self, key_ids: list[UUID]) -> dict[UUID, Credential]:
        with translated(), self._database.begin() as connection:
            return ledger.valid_credentials(connection, key_ids)

    def _cache(self, key_id: UUID, known: _KnownKey) -> None:
        self._known[key_id] = known
        self._known.move_to_end(key_id)
        while len(self._known) > _MAX_CACHED:
            self._known.popitem(last=False)
