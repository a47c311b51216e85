"""The Idempotency-Key: a caller's name for a request, so that it may be sent again when its answer was lost."""

import hashlib
from typing import IO, Annotated
from uuid import UUID

from fastapi import Depends, Header, Request

from lengthwise.errors import InvalidInput
from lengthwise.ledger.jobs.idempotency import HEADER, IdempotencyKey

_Given = Annotated[
    str | None,
    Header(
        alias=HEADER,
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="A name of your own for this request: sent again with it, it is answered with the same job.",
    ),
]


async def _key(request: Request, given: _Given = None) -> str | None:
    if len(request.headers.getlist(HEADER)) > 1:
        raise InvalidInput("is given more than once", HEADER)
    return given


Key = Annotated[str | None, Depends(_key)]


def of_body(key: str, form: bytes, file: IO[bytes]) -> IdempotencyKey:
    """The request of this body in this form: a file at its beginning, which it is given back at."""
    digest = hashlib.sha256(form)
    while block := file.read(2**18):
        digest.update(block)
    file.seek(0)
    return IdempotencyKey(key, digest.digest())


def of_retry(key: str, job_id: UUID) -> IdempotencyKey:
    """The request to retry this job."""
    return IdempotencyKey(key, hashlib.sha256(b"retry\n" + job_id.bytes).digest())
