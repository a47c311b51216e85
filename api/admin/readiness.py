"""Whether this process can accept jobs, and whether anything will work on them. Probes ask it often."""

import asyncio
import time
from collections.abc import Collection, Sequence

from starlette.concurrency import run_in_threadpool

from api.state import State
from lengthwise import database
from lengthwise.database import translated
from lengthwise.errors import Unavailable
from lengthwise.ledger import schema, workers
from lengthwise.ledger.workers import LiveWorker
from lengthwise.states import WorkerRole, WorkerState

#: How long a probe waits for Postgres.
_READY_SECONDS = 1.0
#: However many probes there are, the workers are looked up at most this often.
_LOOK_SECONDS = 1.0
#: How long that waits for a lock, so that a locked table does not delay the probe.
_LOCK_SECONDS = 0.2

NO_GENERATION = "no generation worker is alive: jobs wait"
NO_DELIVERY = "no delivery worker is alive: webhooks wait, and nothing sweeps"
UNKNOWN = "it is not known which workers are alive: their table does not answer"


class Readiness:
    """Requests that ask at the same time share one question, so that they never need more than one thread."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._asked: asyncio.Task[list[str]] | None = None
        self._reasons: list[str] = []
        self._due_at = 0.0

    async def ask(self) -> list[str]:
        """Why jobs wait, or wait for longer than they need to; empty if nothing is known to be wrong.

        Raises ``Unavailable`` if jobs cannot be accepted: Postgres does not answer, or is not migrated.
        """
        try:
            async with asyncio.timeout(_READY_SECONDS):
                return await asyncio.shield(self._question())
        except TimeoutError:
            raise Unavailable("the database does not answer within a second") from None

    def _question(self) -> asyncio.Task[list[str]]:
        """The question that is under way, or else a new one."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.create_task(run_in_threadpool(self._look))
            # In case nobody waits any more.
            self._asked.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return self._asked

    def _look(self) -> list[str]:
        with translated(), self._state.database.begin() as connection:
            if schema.incomplete_tables(connection):
                raise Unavailable("the database is not migrated: lengthwise migrate does it")
        now = time.monotonic()
        if now >= self._due_at:
            self._due_at = now + _LOOK_SECONDS
            self._reasons = self._look_at_workers()
        return self._reasons

    def _look_at_workers(self) -> list[str]:
        try:
            with translated(), self._state.database.begin() as connection:
                database.limit_lock_wait(connection, _LOCK_SECONDS)
                live = workers.find_live(connection, presence_seconds=self._state.settings.presence_seconds)
        except Unavailable:
            return [UNKNOWN]
        return reasons(live, self._state.catalog.models)


def reasons(live: Sequence[LiveWorker], models: Collection[str]) -> list[str]:
    """What these workers cannot do. It names no model, because whoever asks has no key."""
    working = [each for each in live if each.state != WorkerState.STOPPING]
    generating = [each for each in working if each.role == WorkerRole.GENERATE]
    found = [] if generating else [NO_GENERATION]
    known = {state: _models(generating, state) for state in ("loaded", "failed")}
    if broken := (known["failed"] - known["loaded"]) & set(models):
        found.append(f"{len(broken)} of the models could not be loaded by any worker: lengthwise workers says why")
    if not any(each.role == WorkerRole.DELIVER for each in working):
        found.append(NO_DELIVERY)
    return found


def _models(generating: Sequence[LiveWorker], state: str) -> set[str]:
    return {model["name"] for each in generating for model in each.models if model["state"] == state}
