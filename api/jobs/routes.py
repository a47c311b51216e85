"""Routes of jobs: submit, look, read results, cancel, delete."""

import logging
from typing import IO, Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from api.access.auth import Reader, Submitter
from api.http.document import KEY_ERRORS, UNUSABLE, problems
from api.http.identifier import identifier
from api.http.spool import likely_size
from api.jobs import accept, backpressure, document, download, idempotency, negotiation, view
from api.jobs import body_format as formats
from api.jobs.accept import AcceptedJob, SentSize
from api.jobs.body_format import BodyDescription, BodyFormat, DescribedBody, SentJob
from api.jobs.download import ResultFormat
from api.jobs.idempotency import Key, Sought
from api.jobs.listing import query
from api.jobs.listing.query import ListedJobs, Wanted
from api.jobs.order import Order, read_order
from api.jobs.progress.view import with_progress
from api.jobs.schema import CreatedJob, DeliveryList, Job, JobList
from api.jobs.state import JobsState, of
from lengthwise.database import translated
from lengthwise.errors import InvalidInput
from lengthwise.ledger import job_figures
from lengthwise.ledger.jobs import cancel
from lengthwise.ledger.jobs import idempotency as keys
from lengthwise.ledger.jobs.idempotency import IdempotencyKey
from lengthwise.ledger.webhooks import delivery_log

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=KEY_ERRORS)


async def waited(
    request: Request,
    tenant: Reader,
    job_id: str,
    wait: Annotated[float, Query(ge=0, le=60, description="The most seconds to wait for the job's end.")] = 0,
) -> None:
    """Holds the request until its job has ended, but no longer than ``wait``."""
    if wait:
        await of(request).completions.wait(identifier(job_id), tenant, wait)


@router.post(
    "",
    status_code=202,
    response_model=CreatedJob,
    openapi_extra=document.SUBMIT,
    responses=document.ACCEPTED | UNUSABLE | problems(400, 413, 415, 422, 429, 507),
    dependencies=[Depends(backpressure.admit)],
)
async def submit(request: Request, tenant: Submitter, key: Key, sent: DescribedBody, response: Response) -> CreatedJob:
    """Takes a job of one to a million items: as one JSON object, or as NDJSON, CSV or Parquet of any size.

    An NDJSON body's first line is the job without its items; each further line is one item. With CSV and Parquet, the
    HTTP header ``lengthwise-job`` holds the job. It may also name ``text_column`` (otherwise ``text``) or
    ``text_columns``, ``id_column``, ``metadata_columns`` and ``targets``; of CSV, the ``delimiter`` and the
    ``encoding``. If the same body is sent again under the same Idempotency-Key, the answer is the job that
    it made.
    """
    state = of(request)
    async with state.spools.body(request, tenant, sent.limit(state.settings)) as file:
        accepted = await take(state, tenant, file, sent, key)
    response.headers.update(accepted.headers)
    return accepted.created(state.settings.retention_seconds)


async def take(state: JobsState, tenant: UUID, file: IO[bytes], sent: BodyDescription, key: str | None) -> AcceptedJob:
    """Takes the job of a body that has arrived, or finds the one that the same request made under this key.

    Raises ``InvalidInput``, ``ModelUnusable``, ``TooBusy`` and ``Unavailable``.
    """
    named = None
    if key:
        # The job is checked only after this: a deadline that was valid when it was first sent may have passed.
        async with state.writing.held(tenant):
            named = await run_in_threadpool(idempotency.of_body, key, sent.name, file)
            if made := await run_in_threadpool(accept.replay, state, tenant, named):
                return made
    return await _submit(state, tenant, file, sent, named)


async def _submit(
    state: JobsState, tenant: UUID, file: IO[bytes], sent: BodyDescription, named: IdempotencyKey | None
) -> AcceptedJob:
    read, order = await read_sent(state, tenant, file, sent)
    async with state.writing.held(tenant):
        return await run_in_threadpool(_accept, state, tenant, file, read, order, named)


async def read_sent(state: JobsState, tenant: UUID, file: IO[bytes], sent: BodyDescription) -> tuple[SentJob, Order]:
    """Checks all of a job but its items, its webhook's host included. Raises ``InvalidInput`` and ``ModelUnusable``."""
    async with (state.parquet if sent.format is BodyFormat.PARQUET else state.writing).held(tenant):
        read, order = await run_in_threadpool(_read, state, file, sent)
    # No thread, no turn and no transaction waits for a name server.
    await state.hosts.check(tenant, order.webhook_url)
    return read, order


def _accept(
    state: JobsState, tenant: UUID, file: IO[bytes], read: SentJob, order: Order, named: IdempotencyKey | None
) -> AcceptedJob:
    sent = SentSize(bytes=likely_size(file))
    return accept.accept(state, tenant, order, lambda _, keep: read.items(keep), named=named, sent=sent)


def _read(state: JobsState, file: IO[bytes], sent: BodyDescription) -> tuple[SentJob, Order]:
    read = formats.parts(sent, file, state.settings)
    return read, read_order(read.header, state.catalog, state.settings, read.source)


@router.get("", response_model=JobList, responses=problems(404, 422), dependencies=[Depends(idempotency.awaited)])
def jobs(
    request: Request,
    tenant: Reader,
    wanted: Wanted,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    idempotency_key: Sought = None,
) -> JobList:
    """The newest first; ``after`` is the ``next_after`` of the page before, or the id of the last one seen.

    With ``idempotency_key``, the answer waits a moment for a request with this key that is being processed, and is 503
    if that takes longer. The other parameters are filters, and all of them must hold.
    """
    if idempotency_key is not None and not query.is_everything(wanted):
        raise InvalidInput("finds one job, and goes with no filter", "idempotency_key")
    seen = None if after is None else identifier(after)
    with translated(), of(request).database.begin() as connection:
        # Otherwise the list would seem to end after a deleted job.
        last = None if seen is None else job_figures.read(connection, seen, tenant)
        if idempotency_key is None:
            found = query.page(connection, tenant, wanted, last, limit)
        else:
            keys.lock_at_once(connection, tenant, idempotency_key)
            named = job_figures.submitted_as(connection, tenant, idempotency_key) if last is None else []
            found = ListedJobs(named, None)
    kept = of(request).settings.retention_seconds
    next_after = None if found.next_after is None else str(found.next_after)
    return JobList(
        data=[view.job(figures, kept) for figures in found.jobs], has_more=next_after is not None, next_after=next_after
    )


@router.get("/{job_id}", response_model=Job, responses=problems(404, 422), dependencies=[Depends(waited)])
def job(request: Request, tenant: Reader, job_id: str) -> Job:
    """The job's state, counts, rate and estimated end, and in ``progress`` why it is not done."""
    return _shown(of(request), tenant, identifier(job_id))


def _shown(state: JobsState, tenant: UUID, job_id: UUID) -> Job:
    with translated(), state.database.begin() as connection:
        figures = job_figures.read(connection, job_id, tenant)
        shown = view.job(figures, state.settings.retention_seconds)
        return with_progress(connection, figures, shown, state.settings.presence_seconds)


@router.get(
    "/{job_id}/results",
    response_class=StreamingResponse,
    responses=document.RESULTS | problems(404, 422, 507),
    dependencies=[Depends(waited)],
)
def results(
    request: Request,
    tenant: Reader,
    job_id: str,
    wanted: Annotated[ResultFormat, Depends(negotiation.wanted)],
    after: Annotated[int, Query(ge=-1, le=2**31 - 1, description="Begins after the item of this index.")] = -1,
) -> Response:
    """One JSON object a line, in the order of the items. While the job runs, the results so far.

    CSV and Parquet have a column for each value, with dotted names such as ``output.text``. If the job was a table, its
    own columns come first, unless ``columns`` is ``results``. NDJSON and CSV are
    compressed by gzip or zstd if Accept-Encoding asks for it; Parquet is compressed already.

    The header ``lengthwise-job-state`` says whether the job had ended, and so whether these are all results. To resume
    the download of an ended job, pass the index of the last whole line as ``after``. Do not use ``after`` while the job
    runs: a later item may have its result before an earlier one, which would be skipped.
    """
    return download.answer(of(request), tenant, identifier(job_id), after, wanted)


@router.get("/{job_id}/deliveries", response_model=DeliveryList, responses=problems(404))
def deliveries(request: Request, tenant: Reader, job_id: str) -> dict[str, Any]:
    """The job's webhooks with the outcome of each attempt."""
    state = of(request)
    with translated(), state.database.begin() as connection:
        figures = job_figures.read(connection, identifier(job_id), tenant)
        return {"data": delivery_log.list_for_job(connection, figures.id)}


@router.post("/{job_id}/cancel", response_model=Job, responses=problems(404, 507))
def cancel_job(request: Request, tenant: Submitter, job_id: str) -> Job:
    """Drops the items that have not run. Finished results stay readable, and an ended job does not change."""
    state = of(request)
    with translated(), state.database.begin() as connection:
        cancel.cancel(connection, identifier(job_id), tenant)
    return _shown(state, tenant, identifier(job_id))


@router.delete("/{job_id}", status_code=204, responses=problems(404, 507))
def delete(request: Request, tenant: Submitter, job_id: str) -> None:
    """Removes the job, its texts and its results for good. If it is still running, it is cancelled.

    The job is invisible as soon as this answers. Its rows are removed in the background.
    """
    with translated(), of(request).database.begin() as connection:
        cancel.delete(connection, identifier(job_id), tenant)
