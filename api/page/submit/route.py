"""Routes of the form that sends a file as a job."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Any
from uuid import UUID, uuid4

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from api.access import caller
from api.access.caller import Caller
from api.jobs import backpressure, routes
from api.jobs.accept import AcceptedJob
from api.jobs.body_format import BodyDescription, BodyFormat
from api.page import answer
from api.page.session import PageSubmitter
from api.page.state import PageState, of
from api.page.submit import preview, text_file
from api.page.submit.preview import Preview
from api.page.submit.sent_form import BODY_FORMATS, PRIORITIES, FilePart, JobForm, SentForm, option_name
from api.problem import EXPECTED, Problem, described
from lengthwise.key import Scope
from lengthwise.kinds import KINDS

log = logging.getLogger(__name__)
router = APIRouter(prefix="/page/submit", include_in_schema=False)

#: Of a file, the most that a preview takes. A script sends the beginning alone, except of Parquet, which needs its end.
PREVIEW_BYTES = 32 * 2**20


@router.get("")
def ask(request: Request, _: PageSubmitter) -> Response:
    """The form. The list of jobs may link to it with a kind or a model."""
    return _form(request, SentForm(dict(request.query_params)))


@router.post("/preview")
async def look(request: Request, tenant: PageSubmitter) -> Response:
    """The form with the first rows of its file. The file must be chosen again: no browser lets a page do that."""
    form = _job_form(request, PREVIEW_BYTES)
    found: Preview | None = None
    wrong: Problem | None = None
    try:
        async with _arrived(request, tenant, form) as (state, file, sent):
            found = await _preview(state, tenant, file, sent)
    except EXPECTED as error:
        wrong = described(error)
    return _form(request, SentForm(form.fields, form.filename), found, wrong)


@router.post("")
async def submit(request: Request, tenant: PageSubmitter) -> Response:
    """Takes the job, and goes on to its page."""
    await backpressure.admit(request, tenant, None)
    form = _job_form(request, of(request).settings.max_body_bytes)
    try:
        async with _arrived(request, tenant, form) as (state, file, sent):
            accepted = await _accepted(state, tenant, file, sent)
    except EXPECTED as error:
        return _form(request, SentForm(form.fields, form.filename), None, described(error))
    log.info("on the page, the key %s submitted the job %s", caller.key_id(), accepted.figures.id)
    viewer: Caller = request.state.caller
    if accepted.webhook_secret is None and viewer.may(Scope.READ):
        return answer.redirect(f"/page/jobs/{accepted.figures.id}")
    return answer.page(
        request,
        "submitted.html",
        job_id=str(accepted.figures.id),
        secret=accepted.webhook_secret,
        may_read=viewer.may(Scope.READ),
    )


def _job_form(request: Request, max_bytes: int) -> JobForm:
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        raise HTTPException(415, "the content type is multipart/form-data")
    return JobForm(content_type, max_bytes)


@asynccontextmanager
async def _arrived(
    request: Request, tenant: UUID, form: JobForm
) -> AsyncIterator[tuple[PageState, IO[bytes], SentForm]]:
    """The whole file, spooled within the limits of any body, and what was typed beside it."""
    state = of(request)
    async with state.spools.body(FilePart(request, form, state.spools), tenant, form.max_bytes) as file:
        yield state, file, SentForm(form.fields, form.filename)


async def _preview(state: PageState, tenant: UUID, file: IO[bytes], sent: SentForm) -> Preview:
    body = sent.described()
    is_part = sent.field("is_part") == "yes"
    async with (state.parquet if body.format is BodyFormat.PARQUET else state.writing).held(tenant):
        return await run_in_threadpool(_read_preview, state, file, sent, body, is_part)


def _read_preview(state: PageState, file: IO[bytes], sent: SentForm, body: BodyDescription, is_part: bool) -> Preview:
    if sent.file_format != "txt":
        return preview.read(state, file, body, is_part=is_part)
    with text_file.as_ndjson(file, sent.encoding, state.settings, is_part=is_part) as lines:
        return preview.read(state, lines, body, is_part=is_part)


async def _accepted(state: PageState, tenant: UUID, file: IO[bytes], sent: SentForm) -> AcceptedJob:
    body = sent.described()
    if sent.file_format != "txt":
        return await routes.take(state, tenant, file, body, sent.once)
    converting = text_file.as_ndjson(file, sent.encoding, state.settings)
    async with state.writing.held(tenant):
        lines = await run_in_threadpool(converting.__enter__)
    try:
        return await routes.take(state, tenant, lines, body, sent.once)
    finally:
        converting.__exit__(None, None, None)


def _form(request: Request, sent: SentForm, found: Preview | None = None, wrong: Problem | None = None) -> Response:
    state = of(request)
    return answer.page(
        request,
        "submit.html",
        wrong.status if wrong else 200,
        sent=sent,
        preview=found,
        wrong=wrong,
        once=str(uuid4()),  # what was wrong made no job, so the next try is another request
        kinds=list(KINDS.usable().values()),
        first_kind=_first_kind(state),
        models=sorted(state.catalog.models),
        languages=_languages(state),
        formats=list(BODY_FORMATS),
        priorities=PRIORITIES,
        option_name=option_name,
        max_bytes=state.settings.max_body_bytes,
        preview_bytes=PREVIEW_BYTES,
    )


def _first_kind(state: PageState) -> str | None:
    """A kind that a model serves, so that nobody begins with one that none does."""
    served = {kind for spec in state.catalog.models.values() for kind in spec.kind_options}
    return next((name for name in KINDS.usable() if name in served), None)


def _languages(state: PageState) -> list[str]:
    """All languages of all models, for the form's suggestions."""
    found: set[Any] = set()
    for spec in state.catalog.models.values():
        for options in spec.kind_options.values():
            for pair in options.language_pairs():
                found.update(pair)
    return sorted(found)
