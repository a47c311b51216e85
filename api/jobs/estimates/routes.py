"""Estimates a job. It is read and checked as a submission, and nothing is written."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from api.access.auth import Submitter
from api.http.document import KEY_ERRORS, UNUSABLE, problems
from api.jobs import backpressure, document
from api.jobs.body_format import DescribedBody, SentJob
from api.jobs.estimates import timing
from api.jobs.estimates.measuring import JobMeasure, JobSize, measure
from api.jobs.estimates.schema import Estimate, EstimateRefusal
from api.jobs.order import Order
from api.jobs.routes import read_sent
from api.jobs.state import JobsState, of
from lengthwise.database import translated
from lengthwise.errors import TooBusy
from lengthwise.formats.source import RowBlock

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=KEY_ERRORS)

#: More items than any job has: beyond it a number is a mistake.
_MOST_ITEMS = 10**9


@router.post(
    "/estimate",
    response_model=Estimate,
    openapi_extra=document.SUBMIT,
    responses=UNUSABLE | problems(400, 413, 415, 422, 429, 507),
)
async def estimate(
    request: Request,
    tenant: Submitter,
    sent: DescribedBody,
    n_items: Annotated[
        int | None,
        Query(ge=1, le=_MOST_ITEMS, description="The items of the whole job, if the body is a sample of them."),
    ] = None,
    sample: Annotated[
        int | None,
        Query(ge=1, le=_MOST_ITEMS, description="Reads only the first so many items of the body, and counts the rest."),
    ] = None,
) -> Estimate:
    """What the job would take that this body would make: its tokens, its shards, and about when it would end.

    The body is that of a submission, and it is refused as a submission is if something in it is wrong. What would
    refuse the job only now, such as a limit on waiting work, is named in ``refusals``. Nothing is stored.

    A sample is quicker, and as good as it is typical: the first items of a file that is sorted by length are not.
    """
    state, size = of(request), JobSize(n_items, sample)
    await backpressure.measure(state)
    async with state.spools.body(request, tenant, sent.limit(state.settings)) as file:
        read, order = await read_sent(state, tenant, file, sent)
        async with state.writing.held(tenant):
            return await run_in_threadpool(_estimate, state, tenant, read, order, size)


def _estimate(state: JobsState, tenant: UUID, read: SentJob, order: Order, size: JobSize) -> Estimate:
    found = measure(order, read.items(_drop), size, state.settings)
    with translated(), state.database.begin() as connection:
        speed = timing.speed_of(connection, order.target.spec)
        n_ahead = timing.tokens_ahead(connection, tenant, order, found.n_tokens)
        refusals = list(_refusals(connection, state, tenant, found))
    rate = speed.tokens_per_second
    seconds = None if not rate else (n_ahead + found.n_tokens) / rate
    return Estimate(
        kind=order.target.kind.name,
        model=order.target.spec.name,
        priority=order.header.priority,
        items=found.n_items,
        measured_items=found.n_measured,
        failing_items=found.n_failing,
        input_tokens=found.n_tokens,
        padded_tokens=found.n_padded,
        padded_tokens_arrival_order=found.n_arrival_padded,
        shards=found.n_shards,
        speed=speed,
        tokens_ahead=n_ahead,
        own_seconds=None if not rate else round(found.n_tokens / rate, 1),
        seconds=None if seconds is None else round(seconds, 1),
        estimated_end_at=_end(seconds),
        refusals=refusals,
    )


def _drop(block: RowBlock) -> None:
    """Keeps no row of a table."""


def _end(seconds: float | None) -> datetime | None:
    """When these seconds have passed; None if that is no date."""
    try:
        return None if seconds is None else datetime.now(UTC) + timedelta(seconds=seconds)
    except OverflowError:
        return None


def _refusals(connection: Connection, state: JobsState, tenant: UUID, found: JobMeasure) -> Iterator[EstimateRefusal]:
    """What would refuse a job that is right in itself."""
    if found.n_items > state.settings.max_items:
        detail = f"a job may have at most {state.settings.max_items} items"
        yield EstimateRefusal(status=413, detail=detail, retry_after=None)
    checks: tuple[Callable[[], object], ...] = (
        partial(state.backlog.check, tenant),
        partial(backpressure.require_open_job_slot, connection, tenant),
    )
    for check in checks:
        try:
            check()
        except TooBusy as error:
            yield EstimateRefusal(status=429, detail=str(error), retry_after=error.retry_after)
