"""Lets requests wait for the end of a job. Postgres notifies this process on one connection for all requests."""

import asyncio
import logging
import time
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from uuid import UUID

from psycopg import OperationalError
from starlette.concurrency import run_in_threadpool

from lengthwise.database import Database, translated
from lengthwise.errors import Unavailable
from lengthwise.ledger.job_end import JobEndListener

log = logging.getLogger(__name__)

#: No notification arrives through a connection pooler, so the jobs are also queried: after a pause of this share of the
#: time that the youngest request has waited, within these bounds in seconds.
_SHARE = 0.2
_PAUSE_SECONDS = (0.1, 1.0)


@dataclass(eq=False, slots=True)
class _Waiter:
    job_id: UUID
    tenant: UUID
    since: float = field(default_factory=time.monotonic)
    is_over: asyncio.Event = field(default_factory=asyncio.Event)


class CompletionListener:
    """The requests of this process that wait for jobs. One task watches for all of them while there are any."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._waiters: set[_Waiter] = set()
        self._wake_up = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._listener: JobEndListener | None = None

    async def wait(self, job_id: UUID, tenant: UUID, seconds: float) -> None:
        """Waits until the job has ended or is not the tenant's, for at most ``seconds``."""
        waiter = _Waiter(job_id, tenant)
        self._waiters.add(waiter)
        self._wake_up.set()
        if self._watch is None:
            # With a context of its own: it works for others than the request that begins it.
            self._watch = asyncio.create_task(self._keep_watching(), context=Context())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await waiter.is_over.wait()
        finally:
            self._waiters.discard(waiter)

    async def close(self) -> None:
        """Ends the watch and gives its connection back. Call it before the pool is closed."""
        self._waiters.clear()
        self._wake_up.set()
        if self._watch is not None:
            await self._watch

    async def _keep_watching(self) -> None:
        try:
            while self._waiters:
                self._wake_up.clear()
                waiting = list(self._waiters)
                try:
                    open_jobs = await run_in_threadpool(self._tenants_of_open, [waiter.job_id for waiter in waiting])
                except Unavailable as error:
                    log.warning("could not query which jobs have ended: %s", error)
                else:
                    for waiter in waiting:
                        if open_jobs.get(waiter.job_id) != waiter.tenant:
                            waiter.is_over.set()
                await self._listen()
                if not self._waiters and self._listener is not None:
                    idle, self._listener = self._listener, None
                    await run_in_threadpool(idle.close)
        finally:  # after an error the next request begins another watch
            self._watch = None
            self._drop()

    def _tenants_of_open(self, job_ids: list[UUID]) -> dict[UUID, UUID]:
        try:
            with translated():
                if self._listener is None:
                    self._listener = JobEndListener(self.database)
                return self._listener.tenants_of_open(job_ids)
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        dropped, self._listener = self._listener, None
        if dropped is not None:
            dropped.drop()

    async def _listen(self) -> None:
        """Waits until the next query is due or another request begins to wait."""
        loop = asyncio.get_running_loop()
        socket = None if self._listener is None else self._listener.socket
        if socket is not None:
            loop.add_reader(socket, self._read_notifications)
            self._read_notifications()  # notifications that arrived with the answer of the query
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_seconds()):
                    await self._wake_up.wait()
        finally:
            if socket is not None:
                loop.remove_reader(socket)

    def _pause_seconds(self) -> float:
        shortest, longest = _PAUSE_SECONDS
        youngest = max((waiter.since for waiter in self._waiters), default=0.0)
        return min(longest, max(shortest, _SHARE * (time.monotonic() - youngest)))

    def _read_notifications(self) -> None:
        if self._listener is None:
            return
        try:
            ended = set(self._listener.take_ended())
        except OperationalError:
            self._wake_up.set()  # the next query fails too, and connects again
            return
        for waiter in self._waiters:
            if waiter.job_id in ended:
                waiter.is_over.set()
