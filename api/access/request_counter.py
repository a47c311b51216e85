"""Counts requests by key in this process, and writes the counts to the database every few seconds.

If the process is killed, the counts of the last seconds are lost. They are not worth a row for each request.
"""

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from contextvars import Context
from threading import Lock
from uuid import UUID

from starlette.concurrency import run_in_threadpool

from api.access.caller import Caller
from lengthwise.database import Database, translated
from lengthwise.errors import Unavailable
from lengthwise.ledger.accounts import usage

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 2.0


class RequestCounter:
    """Only one event loop at a time may call ``count``. Any thread may call ``write``."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: Counter[tuple[UUID, UUID]] = Counter()
        self._changing = Lock()
        self._writing: asyncio.Task[None] | None = None
        #: Of the task that writes. Both belong to the event loop in which the task began.
        self._is_over = asyncio.Event()

    def count(self, caller: Caller) -> None:
        with self._changing:
            self._counts[caller.tenant_id, caller.key_id] += 1
        if self._writing is None:
            self._is_over = asyncio.Event()
            # With a context of its own: it works for others than the request that begins it.
            self._writing = asyncio.create_task(self._keep_writing(self._is_over), context=Context())

    async def close(self) -> None:
        """Writes the remaining counts."""
        self._is_over.set()
        if self._writing is not None:
            await self._writing

    async def _keep_writing(self, is_over: asyncio.Event) -> None:
        try:
            while self._counts:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PAUSE_SECONDS):
                        await is_over.wait()
                try:
                    await run_in_threadpool(self.write)
                except Unavailable as error:
                    log.warning("requests not counted yet: %s", error)
                    if is_over.is_set():
                        return
        finally:
            self._writing = None

    def write(self) -> None:
        """Writes all counts so far. Raises ``Unavailable``, and keeps the counts for the next try."""
        with self._changing:
            taken, self._counts = self._counts, Counter()
        if not taken:
            return
        try:
            with translated(), self._database.begin() as connection:
                usage.add_requests(connection, taken)
        except BaseException:
            with self._changing:
                self._counts += taken
            raise
