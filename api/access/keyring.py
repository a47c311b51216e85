"""Admits keys. What the database says of a key is believed for half a second.

So a revoked key is refused within half a second in every process. Unknown keys are remembered for as long, and cost
the database nothing when they are sent again. Keys that are not remembered are looked up together, one query at a
time, so that guessing keys costs the database no more than that.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
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
from lengthwise.ledger.accounts.key import Credential
from lengthwise.settings import Settings

log = logging.getLogger(__name__)

#: For how long an answer of the database is believed.
_BELIEVED_SECONDS = 0.5
#: Keys that are remembered, unknown ones included, and keys that one query looks up.
_REMEMBERED = 10_000
_TOGETHER = 1_000
#: The tenant that the first migration makes. The installation is its own.
OPERATOR = UUID(int=1)
#: An unknown key is compared with this, so that it takes as long to refuse as a wrong one.
_NOBODY = bytes(32)


@dataclass(frozen=True, slots=True)
class _KnownKey:
    credential: Credential | None
    asked_at: float


class Keyring:
    """The keys that this process remembers. Used by one event loop."""

    def __init__(self, database: Database, current: Settings) -> None:
        self._database = database
        self._settings = current
        self._pepper = current.require_key_pepper()
        self._admin = self._digest(current.admin_key.get_secret_value()) if current.admin_key else None
        self._seen: OrderedDict[UUID, _KnownKey] = OrderedDict()
        self._asked: dict[UUID, asyncio.Future[Credential | None]] = {}
        self._lookup: asyncio.Task[None] | None = None
        if self._admin is None:
            log.warning("LENGTHWISE_ADMIN_KEY is not set: only keys that exist already are admitted")

    def _digest(self, token: str) -> bytes:
        return keys.digest(token, self._pepper)

    async def admit(self, authorization: Sequence[str]) -> Caller:
        """Who sent these headers. Raises ``Unauthorized``, for whatever reason, and ``Unavailable``."""
        token = keys.parse_bearer(authorization)
        if token is None:
            raise Unauthorized
        digest = self._digest(token)
        if keys.digests_match(digest, self._admin or _NOBODY):
            # The operator is admitted whatever the limits are, even while Postgres is away.
            return Caller(INSTALLATION, OPERATOR, frozenset([Scope.ADMIN]))
        key_id = keys.parse_id(token)
        credential = None if key_id is None else await self._find(key_id)
        if not keys.digests_match(digest, credential.hash if credential else _NOBODY) or credential is None:
            raise Unauthorized
        return Caller(
            credential.id,
            credential.tenant_id,
            frozenset(credential.scopes),
            credential.max_requests_per_minute or self._settings.max_requests_per_minute,
            credential.max_open_jobs or self._settings.max_open_jobs,
        )

    async def _find(self, key_id: UUID) -> Credential | None:
        seen = self._seen.get(key_id)
        if seen is not None and time.monotonic() - seen.asked_at < _BELIEVED_SECONDS:
            return seen.credential
        answer = self._asked.get(key_id)
        if answer is None:
            answer = self._asked[key_id] = asyncio.get_running_loop().create_future()
        if self._lookup is None:
            self._lookup = asyncio.create_task(self._look_up())
        return await asyncio.shield(answer)  # other requests may wait for the same answer

    async def _look_up(self) -> None:
        try:
            while self._asked:
                asked = dict(islice(self._asked.items(), _TOGETHER))
                for key_id in asked:
                    del self._asked[key_id]
                await self._answer(asked)
        finally:
            self._lookup = None

    async def _answer(self, asked: dict[UUID, asyncio.Future[Credential | None]]) -> None:
        # The time before the query: a key that is revoked while it runs may still be in the answer.
        asked_at = time.monotonic()
        try:
            found = await run_in_threadpool(self._load, list(asked))
        except Exception as error:
            for answer in asked.values():
                answer.set_exception(error)
                answer.exception()  # marked as retrieved, in case no request waits for it any more
            return
        for key_id, answer in asked.items():
            self._remember(key_id, _KnownKey(found.get(key_id), asked_at))
            answer.set_result(found.get(key_id))

    def _load(self, key_ids: list[UUID]) -> dict[UUID, Credential]:
        with translated(), self._database.begin() as connection:
            return ledger.valid_credentials(connection, key_ids)

    def _remember(self, key_id: UUID, seen: _KnownKey) -> None:
        self._seen[key_id] = seen
        self._seen.move_to_end(key_id)
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
