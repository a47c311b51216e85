"""The Idempotency-Key: the caller's name for a request, so that it can be sent again if its answer is lost."""

import asyncio
import hashlib
import time
from typing import IO, Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Query, Request
from starlette.concurrency import run_in_threadpool

from api.access.auth import Reader
from api.jobs.state import JobsState, of
from lengthwise.database import translated
from lengthwise.errors import InvalidInput
from lengthwise.ledger.jobs import idempotency as ledger
from lengthwise.ledger.jobs.idempotency import HEADER, IdempotencyKey

_FORM: dict[str, Any] = {"min_length": 1, "max_length": 255, "pattern": r"^[\x21-\x7e]+$"}
_Given = Annotated[
    str | None,
    Header(
        alias=HEADER,
        **_FORM,
        description="Your own name for this request. Sent again under it, the request is answered with the same job.",
    ),
]


async def _key(request: Request, given: _Given = None) -> str | None:
    if len(request.headers.getlist(HEADER)) > 1:
        raise InvalidInput("is given more than once", HEADER)
    return given


#: The same as a parameter that looks up the job.
Sought = Annotated[str | None, Query(**_FORM, description=f"Only the job that a request with this {HEADER} made.")]
Key = Annotated[str | None, Depends(_key)]

#: The pause between two looks at whether a key is free.
_PAUSE_SECONDS = 0.1


async def awaited(request: Request, tenant: Reader, idempotency_key: Sought = None) -> None:
    """Waits a moment for a request with this key that is being processed.

    It may take long. Whoever asks for its job meanwhile holds neither a thread nor a connection, which others need.
    """
    if idempotency_key is None:
        return
    ends_at = time.monotonic() + ledger.WAIT_SECONDS
    while time.monotonic() < ends_at and not await run_in_threadpool(_is_free, of(request), tenant, idempotency_key):
        await asyncio.sleep(_PAUSE_SECONDS)


def _is_free(state: JobsState, tenant: UUID, key: str) -> bool:
    with translated(), state.database.asking() as connection:
        return ledger.is_free(connection, tenant, key)


def of_body(key: str, form: bytes, file: IO[bytes]) -> IdempotencyKey:
    """Names the request by its format and body, a file at its beginning. The file is rewound afterwards."""
    digest = hashlib.sha256(form)
    while block := file.read(2**18):
        digest.update(block)
    file.seek(0)
    return IdempotencyKey(key, digest.digest())


def of_retry(key: str, job_id: UUID) -> IdempotencyKey:
    """Names the request to retry this job."""
    return IdempotencyKey(key, hashlib.sha256(b"retry\n" + job_id.bytes).digest())
