"""The Idempotency-Key: the caller's name for a request, so that it can be sent again if its answer is lost."""

import hashlib
from typing import IO, Annotated, Any
from uuid import UUID

from fastapi import Depends, Header, Query, Request

from lengthwise.errors import InvalidInput
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
