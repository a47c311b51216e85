"""The ``wait`` of a request: it is answered when its job has ended."""

from typing import Annotated

from fastapi import Query, Request

from api.access.auth import Reader
from api.http.identifier import identifier
from api.state import of


async def waited(
    request: Request,
    tenant: Reader,
    job_id: str,
    wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for the job's end before answering.")] = 0,
) -> None:
    """Holds the request back until its job has ended, or for as long as it wants to wait."""
    if wait:
        await of(request).endings.wait(identifier(job_id), tenant, wait)
