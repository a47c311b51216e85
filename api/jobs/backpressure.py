"""Refuses jobs while too much waits, before their bodies are read."""

from uuid import UUID

from fastapi import Request
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from api.access import caller
from api.access.auth import Submitter
from api.jobs.idempotency import Key
from api.jobs.state import JobsState, of
from lengthwise.database import translated
from lengthwise.errors import TooBusy
from lengthwise.ledger.jobs import idempotency
from lengthwise.ledger.queue import pending


async def admit(request: Request, tenant: Submitter, key: Key) -> None:
    """Raises ``TooBusy``, unless this key was used before: repeating that request adds no work."""
    state = of(request)
    await measure(state)
    try:
        state.backlog.check(tenant)
        if caller.max_open_jobs() is not None:
            await run_in_threadpool(_check_open_jobs, state, tenant)
    except TooBusy:
        if key is None or not await run_in_threadpool(_was_taken, state, tenant, key):
            raise


async def measure(state: JobsState) -> None:
    """Measures the backlog if that is due. Waits for it only if the last figures are old."""
    if not state.backlog.is_due:
        return
    if state.backlog.is_old:
        await run_in_threadpool(state.backlog.measure)
    else:
        state.backlog.measure_soon()


def _check_open_jobs(state: JobsState, tenant: UUID) -> None:
    """A first check, before the body is read. Writing the job checks again."""
    with translated(), state.database.begin() as connection:
        require_open_job_slot(connection, tenant)


def require_open_job_slot(connection: Connection, tenant: UUID) -> None:
    """Raises ``TooBusy`` while the tenant has as many open jobs as the caller may have."""
    limit = caller.max_open_jobs()
    if limit is not None:
        pending.check_open_job_limit(connection, tenant, limit)


def _was_taken(state: JobsState, tenant: UUID, key: str) -> bool:
    with translated(), state.database.begin() as connection:
        return idempotency.is_used(connection, tenant, key)
