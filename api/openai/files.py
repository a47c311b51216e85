"""Routes of /v1/files: the files that batches are made of, and their outputs."""

from collections.abc import Iterator
from itertools import chain
from typing import IO, Annotated, Literal
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from api.access.auth import Reader, Submitter
from api.http import body
from api.http.form import FORM_BYTES
from api.jobs.state import JobsState, of
from api.openai import document, output, view
from api.openai.identifier import file_id, file_name
from api.openai.schema import DeletedFile, File, FileList
from api.openai.upload import Upload
from lengthwise.database import translated
from lengthwise.errors import Conflict
from lengthwise.ledger.openai import batch as batches
from lengthwise.ledger.openai import file as files
from lengthwise.ledger.openai import file_list
from lengthwise.ledger.openai.file_list import FileCursor

router = APIRouter(prefix="/v1/files", tags=["OpenAI: files"], responses=document.KEY_ERRORS)
_MEDIA_TYPE = "application/jsonl"


@router.post("", response_model=File, openapi_extra=document.UPLOAD, responses=document.errors(400, 413, 415, 429, 507))
async def upload(request: Request, tenant: Submitter) -> File:
    """Takes a file of requests, one a line. The lines are checked when a batch is made of the file."""
    state = of(request)
    form = request.headers.get("content-type", "")
    if form.partition(";")[0].strip().lower() != "multipart/form-data":
        raise HTTPException(415, "the content type is multipart/form-data")
    current = state.settings
    taken = Upload(form, current.max_file_bytes, current.max_batch_lines + body.MOST_BLANK_LINES)
    async with (
        state.spools.body(request, tenant, current.max_file_bytes + FORM_BYTES) as source,
        state.writing.held(tenant),
    ):
        return await run_in_threadpool(_store, state, tenant, taken, source)


def _store(state: JobsState, tenant: UUID, taken: Upload, source: IO[bytes]) -> File:
    kept = state.settings.retention_seconds
    with translated(), state.database.begin() as connection:
        new = files.NewFile(uuid4(), tenant, lambda: taken.filename, lambda: taken.keep_seconds(kept))
        return view.file(files.store(connection, new, taken.chunks(source)))


@router.get("", response_model=FileList, responses=document.errors(400, 404))
def listed(
    request: Request,
    tenant: Reader,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Literal["asc", "desc"] = "desc",
    purpose: Annotated[str | None, Query(max_length=40)] = None,
) -> FileList:
    """Uploaded files and those of batches, the newest first; ``after`` is the id of the last one seen.

    Files are listed for the purposes ``batch`` and ``batch_output``. There are none of another purpose.
    """
    state = of(request)
    with translated(), state.database.begin() as connection:
        seen = None if after is None else output.find(connection, state, tenant, file_id(after))
        place = None if seen is None else FileCursor(seen.created_at, seen.id, seen.part)
        found = file_list.page(
            connection,
            tenant,
            purpose=purpose,
            after=place,
            limit=limit + 1,
            retention_seconds=state.settings.retention_seconds,
            is_ascending=order == "asc",
        )
        shown = output.sized(connection, found[:limit])
    data = [view.file(each) for each in shown]
    ids = [each.id for each in data]
    return FileList(
        data=data, first_id=ids[0] if ids else None, last_id=ids[-1] if ids else None, has_more=len(found) > limit
    )


@router.get("/{file}", response_model=File, responses=document.errors(404))
def retrieve(request: Request, tenant: Reader, file: str) -> File:
    """One file. Its status is always processed."""
    state = of(request)
    with translated(), state.database.begin() as connection:
        return view.file(output.find(connection, state, tenant, file_id(file)))


@router.get("/{file}/content", response_class=StreamingResponse, responses=document.CONTENT | document.errors(404))
def content(request: Request, tenant: Reader, file: str) -> Response:
    """The file's bytes. While a batch runs, its files have the lines so far."""
    state, name = of(request), file_id(file)
    if name.part:
        return StreamingResponse(output.lines(state, tenant, name), media_type=_MEDIA_TYPE)
    with translated(), state.database.begin() as connection:
        files.find(connection, name.id, tenant)
        first = files.read_chunk(connection, name.id, 0)
    return StreamingResponse(chain([first or b""], _rest(state, name.id)), media_type=_MEDIA_TYPE)


def _rest(state: JobsState, stored: UUID) -> Iterator[bytes]:
    n = 1
    while True:
        # The connection is given back before a slow caller reads the chunk.
        with state.database.connect() as connection:
            chunk = files.read_chunk(connection, stored, n)
        if chunk is None:
            return
        yield chunk
        n += 1


@router.delete("/{file}", response_model=DeletedFile, responses=document.errors(404, 409))
def delete(request: Request, tenant: Submitter, file: str) -> DeletedFile:
    """Removes a file for good. A batch that was made of it goes on. A batch's own files stay until it has ended."""
    state, name = of(request), file_id(file)
    with translated(), state.database.begin() as connection:
        found = output.find(connection, state, tenant, name)
        if not name.part:
            files.delete(connection, name.id, tenant)
        else:
            batch = batches.find(connection, name.id, tenant)
            if batch.finished_at is None:
                raise Conflict("the batch has not ended: cancel it first")
            batches.delete_output(connection, batch.id, store=batch.store, is_errors=name.part == 2)
    return DeletedFile(id=file_name(found.id, found.part))
