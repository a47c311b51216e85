"""Routes of /v1/batches: a batch is a job whose items are the lines of a file."""

import hashlib
import re
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from api import problem
from api.access import caller
from api.access.auth import Reader, Submitter
from api.http import body
from api.jobs import backpressure
from api.jobs.idempotency import Key
from api.jobs.order import webhook_secret
from api.jobs.progress import view as progress
from api.jobs.schema import NewWebhook
from api.jobs.state import JobsState, of
from api.openai import document, view
from api.openai.identifier import batch_id, file_id
from api.openai.schema import Batch, BatchList, CreatedBatch, NewBatch
from api.openai.validator import BatchValidator
from lengthwise.database import translated
from lengthwise.errors import Conflict, InvalidInput, NotFound
from lengthwise.kinds.openai import ENDPOINTS
from lengthwise.ledger.jobs import cancel as cancelling
from lengthwise.ledger.jobs import idempotency as naming
from lengthwise.ledger.openai import batch as ledger
from lengthwise.ledger.openai import file as files
from lengthwise.ledger.why import validation
from lengthwise.settings import Settings
from lengthwise.states import Priority

router = APIRouter(prefix="/v1/batches", tags=["OpenAI: batches"], responses=document.KEY_ERRORS)

_WINDOW = re.compile(r"([1-9]\d{0,8})([mhd])", re.ASCII)
_UNIT_SECONDS = {"m": 60, "h": 3600, "d": 86_400}
#: An SDK without an answer sends its request again. An identical batch within this time counts as such a retry.
_RETRY_SECONDS = 60.0
_RETRY_HEADER = "x-stainless-retry-count"


@router.post(
    "",
    response_model=CreatedBatch,
    openapi_extra=document.CREATE,
    responses=document.errors(400, 413, 429, 507),
)
async def create(request: Request, tenant: Submitter, key: Key) -> CreatedBatch:
    """Takes a batch. Its file is read in the background: the batch is validating, then in progress or failed.

    If it is sent again, under the same Idempotency-Key or by an SDK that had no answer, the answer is the first
    batch.
    """
    state = of(request)
    await backpressure.measure(state)
    async with state.spools.body(request, tenant, state.settings.max_line_bytes) as file:
        data = await run_in_threadpool(file.read)
    retries = request.headers.get(_RETRY_HEADER, "0")
    is_retry = retries.isascii() and retries.isdecimal() and int(retries[:9]) > 0
    wanted = await run_in_threadpool(_wanted, data)
    if isinstance(wanted, NewBatch) and wanted.webhook is not None:
        # No thread and no transaction waits for a name server.
        wanted = await state.hosts.refusal(tenant, wanted.webhook.url) or wanted
    request_hash = hashlib.sha256(b"batch\n" + data).digest()
    # It may wait for another request with this key, and has a connection meanwhile.
    async with state.writing.held(tenant):
        created = await run_in_threadpool(_create, state, tenant, wanted, request_hash, key, is_retry)
    validator: BatchValidator = request.app.state.validator
    validator.wake()
    return created


def _create(
    state: JobsState,
    tenant: UUID,
    wanted: NewBatch | InvalidInput,
    request_hash: bytes,
    key: str | None,
    is_retry: bool,
) -> CreatedBatch:
    with translated(), state.database.begin() as connection:
        naming.lock(connection, tenant, key or request_hash.hex())
        if key is not None and (made := ledger.find_by_idempotency_key(connection, tenant, key)):
            if made.request_hash != request_hash:
                raise InvalidInput("another request was sent under this key", naming.HEADER)
            if existing := _existing(connection, tenant, made.id):
                return existing
        if key is None and is_retry:
            recent = ledger.find_recent_duplicate(connection, tenant, request_hash, _RETRY_SECONDS)
            if recent is not None and (existing := _existing(connection, tenant, recent)):
                return existing
        state.backlog.check(tenant)
        if isinstance(wanted, InvalidInput):
            raise wanted
        new = _new(wanted, state.settings, tenant, key, request_hash)
        _require_file(connection, new)
        backpressure.require_open_job_slot(connection, tenant)
        ledger.insert(connection, new)
        created = view.batch(ledger.find(connection, new.id, tenant))
    webhook = None
    if new.webhook_url and new.webhook_secret:
        webhook = NewWebhook(url=new.webhook_url, secret=new.webhook_secret)
    return CreatedBatch(**dict(created), webhook=webhook)


def _existing(connection: Connection, tenant: UUID, made: UUID) -> CreatedBatch | None:
    """The batch that the same request made before; None if it has been deleted."""
    try:
        return CreatedBatch(**dict(view.batch(ledger.find(connection, made, tenant))))
    except NotFound:
        ledger.forget_request(connection, made)
        return None


def _wanted(data: bytes) -> NewBatch | InvalidInput:
    """What is wanted, or what is wrong with it: that matters only if no earlier request made the batch."""
    try:
        given = body.parse_whole(data)
        if not isinstance(given, dict):
            return InvalidInput("a batch is a JSON object", "body")
        return NewBatch.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        return problem.invalid(error)
    except InvalidInput as error:
        return error


def _new(wanted: NewBatch, current: Settings, tenant: UUID, key: str | None, request_hash: bytes) -> ledger.NewBatchRow:
    """Raises ``InvalidInput``."""
    if wanted.endpoint not in ENDPOINTS:
        raise InvalidInput(f"unknown endpoint; known here: {', '.join(ENDPOINTS)}", "endpoint")
    try:
        stored = file_id(wanted.input_file_id)
    except NotFound:
        stored = None
    if stored is None or stored.part:
        raise InvalidInput("there is no such file, uploaded for batches", "input_file_id")
    return ledger.NewBatchRow(
        id=uuid4(),
        tenant_id=tenant,
        key_id=caller.key_id(),
        input_file_id=stored.id,
        endpoint=wanted.endpoint,
        completion_window=wanted.completion_window,
        priority=int(Priority[wanted.priority.upper()]),
        deduplicate=wanted.deduplicate,
        window_seconds=_window_seconds(wanted, current),
        deadline_at=wanted.deadline,
        metadata=wanted.metadata,
        output_seconds=wanted.output_expires_after.seconds if wanted.output_expires_after else None,
        webhook_url=wanted.webhook.url if wanted.webhook else None,
        webhook_secret=webhook_secret(wanted.webhook),
        idempotency_key=key,
        request_hash=request_hash,
    )


def _window_seconds(wanted: NewBatch, current: Settings) -> int:
    found = _WINDOW.fullmatch(wanted.completion_window)
    seconds = int(found[1]) * _UNIT_SECONDS[found[2]] if found else 0
    if not 0 < seconds <= current.max_deadline_seconds:
        days = current.max_deadline_seconds // 86_400
        raise InvalidInput(f"must be a number of m, h or d, such as 24h, and at most {days} days", "completion_window")
    if wanted.deadline is not None and wanted.deadline <= datetime.now(UTC):
        raise InvalidInput("must lie in the future", "deadline")
    return seconds


def _require_file(connection: Connection, new: ledger.NewBatchRow) -> None:
    try:
        files.find(connection, new.input_file_id, new.tenant_id)
    except NotFound:
        raise InvalidInput("there is no such file, uploaded for batches", "input_file_id") from None


@router.get("", response_model=BatchList, responses=document.errors(400, 404))
def listed(
    request: Request,
    tenant: Reader,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> BatchList:
    """The newest first; ``after`` is the id of the last one seen."""
    seen = None if after is None else batch_id(after)
    with translated(), of(request).database.begin() as connection:
        if seen is not None:
            ledger.find(connection, seen, tenant)  # otherwise the list would seem to end after a deleted batch
        found = ledger.page(connection, tenant, seen, limit + 1)
    data = [view.batch(figures) for figures in found[:limit]]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return BatchList(data=data, first_id=first, last_id=last, has_more=len(found) > limit)


@router.get("/{batch}", response_model=Batch, responses=document.errors(404))
def retrieve(request: Request, tenant: Reader, batch: str) -> Batch:
    """Its status, its counts, the ids of its files and, if its file was refused, the errors of its lines.

    As an extension, ``progress`` says why a batch that is ``validating`` has not begun. Afterwards it is that of the
    job of the same id, under ``/v1/jobs``.
    """
    named = batch_id(batch)
    with translated(), of(request).database.begin() as connection:
        shown = view.batch(ledger.find(connection, named, tenant))
        waiting = validation.read(connection, named, tenant) if shown.status == "validating" else None
    return shown if waiting is None else shown.model_copy(update={"progress": progress.of_batch(waiting)})


@router.post("/{batch}/cancel", response_model=Batch, responses=document.errors(404, 409, 507))
def cancel(request: Request, tenant: Submitter, batch: str) -> Batch:
    """Drops the requests that have not run. Finished results stay readable. The answer may still say cancelling."""
    state, named = of(request), batch_id(batch)
    with translated(), state.database.begin() as connection:
        is_new = ledger.mark_cancelling(connection, named, tenant)
        marked = view.batch(ledger.find(connection, named, tenant))
    if not is_new and marked.status not in ("cancelling", "cancelled"):
        raise Conflict("the batch has ended")
    # The mark is committed before the job is cancelled. If the process dies in between, the sweep cancels the job.
    if marked.status == "cancelling":
        with translated(), state.database.begin() as connection:
            cancelling.cancel(connection, named, tenant)
    return marked
