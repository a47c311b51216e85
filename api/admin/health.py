"""Whether this process lives, and whether it can take jobs."""

from fastapi import APIRouter, Request
from sqlalchemy import select
from sqlalchemy.exc import ProgrammingError

from api.jobs import document
from api.state import of
from lengthwise.database import translated
from lengthwise.errors import Unavailable
from lengthwise.tables import metadata

router = APIRouter(tags=["health"])


@router.get("/healthz", responses=document.problems())
def healthz() -> dict[str, str]:
    """The process answers; it says nothing of the servers it stands on."""
    return {"status": "ok"}


@router.get("/readyz", responses=document.problems(503))
def readyz(request: Request) -> dict[str, str]:
    """Postgres answers and is migrated. Redis is not asked: jobs are taken without it."""
    try:
        with translated(), of(request).database.begin() as connection:
            for table in metadata.sorted_tables:
                connection.execute(select(table).limit(0))
    except ProgrammingError:  # a table or a column is not there
        raise Unavailable("the database is not migrated: lengthwise migrate does it") from None
    return {"status": "ready"}
