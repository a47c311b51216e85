"""OpenAI's synchronous endpoints. A request becomes an interactive job of one item, and is answered with its result."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID, uuid4

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic_core import from_json
from starlette.concurrency import run_in_threadpool

from api.access import caller
from api.access.auth import Submitter
from api.http import body
from api.intake.counting import counted
from api.intake.intake import Intake
from api.jobs import backpressure
from api.jobs.state import JobsState, of
from api.openai import document
from api.openai import error as errors
from api.openai.line_reader import BodyReader, LineError, portions
from lengthwise.database import translated
from lengthwise.errors import InvalidInput, ModelUnusable, UnknownName
from lengthwise.kinds.openai import ENDPOINTS
from lengthwise.kinds.openai.line import LineKind
from lengthwise.ledger.jobs import cancel, results
from lengthwise.ledger.jobs.submit import NewJob
from lengthwise.states import Priority

router = APIRouter(tags=["OpenAI: one request"], responses=document.KEY_ERRORS)


@dataclass(frozen=True, slots=True)
class _SubmittedRequest:
    """A request as a job. If it cannot run, ``refusal`` is its answer and there is no job."""

    job_id: UUID
    refusal: bytes | None
    store: int = 0


def _submit(state: JobsState, tenant: UUID, kind: LineKind, data: bytes) -> _SubmittedRequest:
    """Raises ``InvalidInput``, ``ModelUnusable``, ``TooBusy`` and ``Unavailable``."""
    state.backlog.check(tenant)
    current = state.settings
    try:
        request = BodyReader(kind, state.catalog, current).request("request", body.parse_whole(data))
    except LineError as error:
        if isinstance(error.__cause__, ModelUnusable):
            raise error.__cause__.with_traceback(None) from None
        form = UnknownName if error.code == "model_not_found" else InvalidInput
        raise form(str(error), error.param) from None
    [portion] = portions(kind, [(0, request)])
    [sent] = counted(portion, _refuse)
    [item] = sent.items
    job = NewJob(
        id=uuid4(),
        tenant_id=tenant,
        kind=kind.name,
        model="",
        params={},
        pool="",
        priority=Priority.INTERACTIVE,
        key_id=caller.key_id(),
        max_open_jobs=caller.max_open_jobs(),
        # If this process dies, nobody waits for the answer any more.
        deadline_seconds=current.answer_seconds,
    )
    if item.refusal is not None:
        return _SubmittedRequest(job.id, item.refusal)
    with translated(), state.database.begin() as connection:
        intake = Intake(connection, job, current)
        intake.add(request.spec, sent)
        submission = intake.finish()
    state.backlog.add(tenant, item.n_tokens)
    return _SubmittedRequest(job.id, None, submission.store)


def _refuse(_: int, error: InvalidInput) -> None:
    raise error


def _result(state: JobsState, submitted: _SubmittedRequest) -> bytes | None:
    with translated(), state.database.begin() as connection:
        page = results.read_page(
            connection,
            submitted.job_id,
            store=submitted.store,
            after=-1,
            limit=1,
            chunk_items=1,
            n_items=1,
            has_dropped=False,
        )
    return page.rows[0].line if page.rows else None


def _cancel(state: JobsState, tenant: UUID, job_id: UUID) -> None:
    with translated(), state.database.begin() as connection:
        cancel.cancel(connection, job_id, tenant)


async def _wait(request: Request, tenant: UUID, job_id: UUID) -> None:
    """Waits until the job has ended, the time is over, or the caller has disconnected."""
    state = of(request)
    ending = asyncio.create_task(state.completions.wait(job_id, tenant, state.settings.answer_seconds))
    leaving = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({ending, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (ending, leaving):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _answer(request: Request, tenant: UUID, kind: LineKind) -> JSONResponse:
    state = of(request)
    await backpressure.measure(state)
    async with state.spools.body(request, tenant, state.settings.max_json_bytes) as file:
        data = await run_in_threadpool(file.read)
    submitted = await run_in_threadpool(_submit, state, tenant, kind, data)
    line = submitted.refusal
    if line is None:
        await _wait(request, tenant, submitted.job_id)
        line = await run_in_threadpool(_result, state, submitted)
    if line is None:
        await run_in_threadpool(_cancel, state, tenant, submitted.job_id)
        seconds = state.settings.answer_seconds
        message = f"there was no answer within {seconds:g} seconds; a batch waits for as long as it takes"
        # A retry would not be answered sooner, and the queue would hold three requests instead of one.
        return errors.answer(504, message, None, "timeout", {"x-should-retry": "false"})
    response = from_json(line)["response"]
    return JSONResponse(response["body"], response["status_code"])


def _route(kind: LineKind) -> Callable[[Request, UUID], Awaitable[JSONResponse]]:
    async def answer(request: Request, tenant: Submitter) -> JSONResponse:
        return await _answer(request, tenant, kind)

    return answer


for _path, _kind in ENDPOINTS.items():
    router.add_api_route(
        _path,
        _route(_kind),
        methods=["POST"],
        response_class=JSONResponse,
        name=f"ask {_kind.name}",
        summary=f"One of {_kind.name}",
        description="Runs one request and answers it. Its body is the same as in a line of a batch. If the caller "
        "disconnects, the request is cancelled.",
        openapi_extra=document.request_body(_kind),
        responses=document.ANSWERS[_kind.name] | document.errors(400, 404, 409, 413, 429, 504, 507),
    )
