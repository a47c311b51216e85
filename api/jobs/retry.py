"""Runs the failed items of an ended job again, as a new job: an ended job never changes."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic_core import from_json
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from api.access.auth import Submitter
from api.http.document import KEY_ERRORS, problems
from api.http.identifier import identifier
from api.jobs import accept, backpressure, document, idempotency
from api.jobs.accept import AcceptedJob, SentSize
from api.jobs.idempotency import Key
from api.jobs.order import Order, read_order
from api.jobs.schema import Job, Webhook
from api.jobs.state import JobsState, of
from api.jobs.view import PRIORITY_NAMES
from lengthwise.database import translated
from lengthwise.errors import Conflict, InvalidInput
from lengthwise.formats.source import Keep, RowBlock, SourceTable, picked
from lengthwise.ledger.jobs import retry as ledger
from lengthwise.ledger.jobs import source
from lengthwise.ledger.jobs.idempotency import HEADER
from lengthwise.ledger.jobs.retry import FailedJob
from lengthwise.states import Priority

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=KEY_ERRORS)


@router.post(
    "/{job_id}/retry",
    status_code=202,
    response_model=Job,
    responses=document.ACCEPTED | problems(404, 409, 422, 429, 507),
    dependencies=[Depends(backpressure.admit)],
)
async def retry(request: Request, tenant: Submitter, job_id: str, key: Key, response: Response) -> Job:
    """Makes a new job of the failed items of an ended one. They keep their ids, their metadata and their order.

    The new job is like the first, its webhook and the webhook's secret included, but has no deadline.
    """
    state = of(request)
    async with state.writing.held(tenant):
        accepted = await run_in_threadpool(_retry, state, tenant, identifier(job_id), key)
    response.headers.update(accepted.headers)
    return accepted.job(state.settings.retention_seconds)


def _retry(state: JobsState, tenant: UUID, job_id: UUID, key: str | None) -> AcceptedJob:
    named = idempotency.of_retry(key, job_id) if key else None
    if named and (made := accept.replay(state, tenant, named)):
        return made
    with translated(), state.database.begin() as connection:
        failed = ledger.lock_failed_job(connection, job_id, tenant)

    def items(connection: Connection, keep: Keep) -> Iterator[Any]:
        ledger.lock_failed_job(connection, job_id, tenant)  # keeps the job's rows until the transaction ends
        n_rows = 0
        for portion in ledger.read_failed_items(connection, failed):
            if order.source is not None and portion:
                n_rows = _keep_rows(connection, job_id, order.source, [item.index for item in portion], n_rows, keep)
            yield from (from_json(item.payload) for item in portion)

    try:
        order = _order(failed, state)
        return accept.accept(state, tenant, order, items, named, retry_of=job_id, sent=SentSize(failed.n_failed))
    except InvalidInput as error:
        if error.field == HEADER:
            raise
        # The request itself is right: the model is gone, or a limit is lower than it was.
        raise Conflict(f"the failed items cannot be taken again: {error}") from None


def _keep_rows(connection: Connection, job_id: UUID, of: SourceTable, rows: list[int], first: int, keep: Keep) -> int:
    """Hands over these rows of the first job's table, as the new job's from ``first`` on. Returns the next number."""
    blocks = source.read(connection, job_id, rows[0], rows[-1] + 1)
    for places, content in picked(of.format, map(RowBlock._make, blocks), rows):
        keep(RowBlock(first, len(places), content))
        first += len(places)
    return first


def _order(failed: FailedJob, state: JobsState) -> Order:
    """The first job's order. The webhook's host is not resolved again here: each delivery does that.

    The failed items of a row with several items are no table any more. Their metadata says where they stood.
    """
    header = {
        "kind": failed.kind,
        "model": failed.model,
        "priority": PRIORITY_NAMES[Priority(failed.priority)],
        "deduplicate": failed.deduplicate,
        "name": failed.name,
        "tags": failed.tags or [],
        "source_file": failed.source_file,
        **failed.params,
    }
    order = read_order(header, state.catalog, state.settings)
    webhook = Webhook(url=failed.webhook_url) if failed.webhook_url else None
    renewed = order.header.model_copy(update={"webhook": webhook})
    table = SourceTable(**failed.source) if failed.source else None
    kept = table if table is not None and table.is_plain else None
    return replace(order, header=renewed, webhook_secret=failed.webhook_secret, source=kept)
