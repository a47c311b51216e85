"""Validates batches in the background. A request that creates a batch wakes it; it also looks for abandoned ones."""

import asyncio
import logging
from contextlib import suppress
from threading import Event
from uuid import UUID

from starlette.concurrency import run_in_threadpool

from api.jobs.state import JobsState
from api.openai.validation import validate
from lengthwise import logs
from lengthwise.database import translated
from lengthwise.errors import Unavailable
from lengthwise.ledger.openai import validation as ledger
from lengthwise.ledger.openai.validation import WaitingBatch

log = logging.getLogger(__name__)

#: How often a process looks for batches that another process left behind.
_LOOK_SECONDS = 5.0
#: Batches that one process validates at a time, so that a small one need not wait for a large one.
_MAX_CONCURRENT = 2


class BatchValidator:
    """One for each process of the API."""

    def __init__(self, state: JobsState) -> None:
        self._state = state
        self._wake_up = asyncio.Event()
        self._running: dict[UUID, asyncio.Task[None]] = {}
        self._watch: asyncio.Task[None] | None = None
        self._is_stopping = Event()

    def start(self) -> None:
        self._watch = asyncio.create_task(self._keep_watching())

    def wake(self) -> None:
        """Looks for batches at once."""
        self._wake_up.set()

    async def close(self) -> None:
        """Stops. Validations under way are rolled back and left to another process."""
        self._is_stopping.set()
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        await asyncio.gather(*self._running.values())

    async def _keep_watching(self) -> None:
        while True:
            self._wake_up.clear()
            for waiting in await run_in_threadpool(self._waiting):
                if len(self._running) == _MAX_CONCURRENT:
                    break
                if waiting.id not in self._running:
                    self._running[waiting.id] = asyncio.create_task(self._run(waiting))
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._wake_up.wait()

    def _waiting(self) -> list[WaitingBatch]:
        try:
            with translated(), self._state.database.begin() as connection:
                return ledger.find_waiting(connection)
        except Unavailable as error:
            log.warning("could not look for batches to validate: %s", error)
        except Exception as error:  # the database may not be migrated yet
            log.error(
                "could not look for batches to validate: unexpected %s", type(error).__name__, extra=logs.raised(error)
            )
        return []

    async def _run(self, waiting: WaitingBatch) -> None:
        with logs.bound(job=waiting.id, request=None, trace=None):
            await self._validate(waiting)

    async def _validate(self, waiting: WaitingBatch) -> None:
        try:
            await run_in_threadpool(validate, self._state, waiting, self._is_stopping.is_set)
        except Unavailable as error:
            log.warning("batch not validated yet: %s", error)
        except Exception as error:  # it is tried again; the message is not logged, because it may hold what was sent
            log.error("batch not validated: unexpected %s", type(error).__name__, extra=logs.raised(error))
        finally:
            del self._running[waiting.id]
            self.wake()  # another batch may be waiting
