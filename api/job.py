"""Jobs: submit, look, read results, cancel, delete."""

import logging
from collections.abc import Iterator
from typing import IO, Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from api import accept, backpressure, body, document, download, idempotency, intake, view
from api.accept import Accepted
from api.idempotency import Key
from api.identifier import identifier
from api.schema import CreatedJob, DeliveryList, Job, JobList
from api.state import State, of
from api.tenant import Tenant
from api.wait import waited
from lengthwise import queue
from lengthwise.database import translated
from lengthwise.errors import InvalidInput
from lengthwise.ledger import cancel, outbox, read
from lengthwise.ledger.read import JobFigures

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=document.problems(503))


@router.post(
    "",
    status_code=202,
    response_model=CreatedJob,
    openapi_extra=document.SUBMIT,
    responses=document.ACCEPTED | document.problems(400, 413, 415, 422, 429, 507),
    dependencies=[Depends(backpressure.admit)],
)
async def submit(request: Request, tenant: Tenant, key: Key, response: Response) -> CreatedJob:
    """Takes a job of one to a million items: as one JSON object, or streamed as NDJSON.

    An NDJSON body's first line is the job without its items; each further line is one item. Sent again with the same
    Idempotency-Key, the same body is answered with the job that it made.
    """
    state = of(request)
    is_json = _is_json(request)
    limit = state.settings.max_json_bytes if is_json else state.settings.max_body_bytes
    async with body.spooled(request, limit) as file:
        accepted = await run_in_threadpool(_submit, state, tenant, file, is_json, key)
    response.headers.update(accepted.headers)
    return accepted.created(state.settings.retention_seconds)


def _is_json(request: Request) -> bool:
    """Whether the body is JSON rather than NDJSON. Anything else is a 415."""
    form = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if form not in ("application/json", "application/x-ndjson", "application/jsonl"):
        raise HTTPException(415, "the content type is application/json or application/x-ndjson")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise HTTPException(415, "bodies are taken without a content encoding")
    return form == "application/json"


def _submit(state: State, tenant: UUID, file: IO[bytes], is_json: bool, key: str | None = None) -> Accepted:
    named = idempotency.of_body(key, is_json, file) if key else None
    # Before the job is read: what was right when it was first sent, say its deadline, may be wrong by now.
    if named and (replay := accept.replay(state, tenant, named)):
        return replay
    head, items = _parts(file, state.settings.max_line_bytes, is_json)
    order = intake.order(head, state.catalog, state.settings)
    return accept.accept(state, tenant, order, lambda _: items, named=named)


def _parts(file: IO[bytes], max_line_bytes: int, is_json: bool) -> tuple[Any, Iterator[Any]]:
    """The job's head and its items: values of a JSON body, lines of NDJSON that are still to be parsed."""
    if is_json:
        head = body.parse(file.read())
        items = head.pop("items", []) if isinstance(head, dict) else []
        if not isinstance(items, list):
            raise InvalidInput("items is a list", "items")
        return head, iter(items)
    source = body.lines(file, max_line_bytes)
    first = next(source, None)
    if first is None:
        raise InvalidInput("an NDJSON body's first line is the job", "body")
    head = body.parse(first)
    if isinstance(head, dict) and "items" in head:
        raise InvalidInput("the items of an NDJSON body are its further lines", "items")
    return head, source


@router.get("", response_model=JobList, responses=document.problems(404, 422))
def jobs(
    request: Request,
    tenant: Tenant,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> JobList:
    """The newest first; ``after`` is the id of the last one seen."""
    seen = None if after is None else identifier(after)
    with translated(), of(request).database.begin() as connection:
        if seen is not None:
            read.figures(connection, seen, tenant)  # behind a job that was deleted the list would seem to end
        found = read.page(connection, tenant, seen, limit + 1)
    kept = of(request).settings.retention_seconds
    return JobList(data=[view.job(figures, kept) for figures in found[:limit]], has_more=len(found) > limit)


@router.get("/{job_id}", response_model=Job, responses=document.problems(404, 422), dependencies=[Depends(waited)])
def job(request: Request, tenant: Tenant, job_id: str) -> Job:
    """State, counts, rate and estimated end."""
    return _shown(of(request), tenant, identifier(job_id))


def _shown(state: State, tenant: UUID, job_id: UUID) -> Job:
    return view.job(_figures(state, tenant, job_id), state.settings.retention_seconds)


def _figures(state: State, tenant: UUID, job_id: UUID) -> JobFigures:
    with translated(), state.database.begin() as connection:
        return read.figures(connection, job_id, tenant)


@router.get(
    "/{job_id}/results",
    response_class=StreamingResponse,
    responses=document.RESULTS | document.problems(404, 422),
    dependencies=[Depends(waited)],
)
def results(
    request: Request,
    tenant: Tenant,
    job_id: str,
    after: Annotated[int, Query(ge=-1, le=2**31 - 1, description="Begin behind the item of this index.")] = -1,
) -> Response:
    """One JSON object a line, in the items' order; while the job runs, those that are there already.

    The header ``lengthwise-job-state`` tells whether the job had ended, and so whether these are all. A download of an
    ended job that broke is taken up again with ``after``, the index of its last whole line. While a job runs, a later
    item may be there before an earlier one, so ``after`` would pass over what is still to come.
    """
    return download.answer(of(request), tenant, identifier(job_id), after)


@router.get("/{job_id}/deliveries", response_model=DeliveryList, responses=document.problems(404))
def deliveries(request: Request, tenant: Tenant, job_id: str) -> dict[str, Any]:
    """The job's webhooks and what came of each attempt."""
    state = of(request)
    with translated(), state.database.begin() as connection:
        figures = read.figures(connection, identifier(job_id), tenant)
        return {"data": outbox.of_job(connection, figures.id)}


@router.post("/{job_id}/cancel", response_model=Job, responses=document.problems(404, 507))
def cancel_job(request: Request, tenant: Tenant, job_id: str) -> Job:
    """Drops what has not run; what has stays readable. Of an ended job nothing changes."""
    state = of(request)
    with translated():
        with state.database.begin() as connection:
            due = cancel.cancel(connection, identifier(job_id), tenant)
        if due:
            queue.ring(queue.DELIVER)
    return _shown(state, tenant, identifier(job_id))


@router.delete("/{job_id}", status_code=204, responses=document.problems(404, 507))
def delete(request: Request, tenant: Tenant, job_id: str) -> None:
    """Removes the job, its texts and its results, for good; what still ran is cancelled.

    It is gone as soon as this answers; its rows are removed behind the scenes.
    """
    with translated(), of(request).database.begin() as connection:
        cancel.delete(connection, identifier(job_id), tenant)
