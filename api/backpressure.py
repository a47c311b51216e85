"""Refuses work while too much waits, before anything of a body is read."""

from uuid import UUID

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from api import caller
from api.idempotency import Key
from api.state import State, of
from api.tenant import Submitter
from lengthwise.database import translated
from lengthwise.errors import TooBusy
from lengthwise.ledger import idempotency, pending


async def admit(request: Request, tenant: Submitter, key: Key) -> None:
    """Raises ``TooBusy``, unless a request of this name was taken before: that one adds nothing."""
    state = of(request)
    if state.backlog.is_due:
        await run_in_threadpool(state.backlog.measure)
    asking = caller.current()
    most = asking.max_open_jobs if asking else None
    try:
        state.backlog.check(tenant)
        if most is not None:
            await run_in_threadpool(_require_room, state, tenant, most)
    except TooBusy:
        if key is None or not await run_in_threadpool(_was_taken, state, tenant, key):
            raise


def _require_room(state: State, tenant: UUID, most: int) -> None:
    """Before the body is read; whether there is room still is looked at again as the job is written."""
    with translated(), state.database.begin() as connection:
        pending.require_room(connection, tenant, most)


def _was_taken(state: State, tenant: UUID, key: str) -> bool:
    with translated(), state.database.begin() as connection:
        return idempotency.is_known(connection, tenant, key)
