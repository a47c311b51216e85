"""Lets requests wait for the end of a job: one question to the database for all, often while one is young."""

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import Connection, Engine
from starlette.concurrency import run_in_threadpool

from lengthwise.database import translated
from lengthwise.errors import Unavailable
from lengthwise.ledger import read

log = logging.getLogger(__name__)

#: Between two looks: so much of the time that the youngest request has waited, within these bounds in seconds.
_SHARE = 0.1
_PAUSE_SECONDS = (0.005, 0.25)


@dataclass(eq=False, slots=True)
class _Waiter:
    job_id: UUID
    tenant: UUID
    since: float = field(default_factory=time.monotonic)
    is_over: asyncio.Event = field(default_factory=asyncio.Event)


class Endings:
    """The requests of this process that wait. One task looks for all of them, while there are any."""

    def __init__(self, database: Engine) -> None:
        self._database = database
        self._waiters: set[_Waiter] = set()
        self._has_come = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._connection: Connection | None = None

    async def wait(self, job_id: UUID, tenant: UUID, seconds: float) -> None:
        """Until the tenant has no such job that is open, for at most so long."""
        waiter = _Waiter(job_id, tenant)
        self._waiters.add(waiter)
        self._has_come.set()
        if self._watch is None:
            self._watch = asyncio.create_task(self._look_on())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await waiter.is_over.wait()
        finally:
            self._waiters.discard(waiter)

    async def close(self) -> None:
        """Ends the watch, and gives its connection back before the pool goes."""
        self._waiters.clear()
        self._has_come.set()
        if self._watch is not None:
            await self._watch

    async def _look_on(self) -> None:
        try:
            while self._waiters:
                self._has_come.clear()
                asked = list(self._waiters)
                try:
                    is_open = await run_in_threadpool(self._open_of, [waiter.job_id for waiter in asked])
                except Unavailable as error:
                    log.warning("not looked for ends of jobs: %s", error)
                else:
                    for waiter in asked:
                        if is_open.get(waiter.job_id) != waiter.tenant:
                            waiter.is_over.set()
                await self._pause()
        finally:
            self._watch = None
            self._disconnect()

    async def _pause(self) -> None:
        """Until the next look is due, or another request has come."""
        least, most = _PAUSE_SECONDS
        youngest = max((waiter.since for waiter in self._waiters), default=0.0)
        with suppress(TimeoutError):
            async with asyncio.timeout(min(most, max(least, _SHARE * (time.monotonic() - youngest)))):
                await self._has_come.wait()

    def _open_of(self, job_ids: list[UUID]) -> dict[UUID, UUID]:
        """On a connection that is kept, without a transaction: two thirds of such a look would be BEGIN and COMMIT."""
        try:
            with translated():
                if self._connection is None:
                    self._connection = self._database.connect().execution_options(isolation_level="AUTOCOMMIT")
                return read.tenants_of_open(self._connection, job_ids)
        except BaseException:
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        kept, self._connection = self._connection, None
        if kept is not None:
            kept.close()
