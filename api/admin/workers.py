"""The workers of this installation, as they report themselves. Only its operator sees them."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from api.access.auth import Admin, require_operator
from api.http import document
from api.state import of
from lengthwise.database import translated
from lengthwise.ledger import workers as ledger
from lengthwise.states import WorkerRole, WorkerState

router = APIRouter(prefix="/v1/workers", tags=["workers"], responses=document.KEY_ERRORS)


class WorkersModel(BaseModel):
    """A model that a worker holds, or could not load."""

    name: str
    state: Literal["loaded", "failed"]
    revision: str | None
    quantization: str | None
    device: str | None
    memory_bytes: int | None = Field(description="Of the model's tensors; null if the engine does not know it.")
    load_seconds: float | None
    reason: str | None = Field(
        description="Why it, or the newer revision of a loaded model, could not be loaded; the worker's log says more."
    )
    failed_at: datetime | None
    paused_until: datetime | None
    paused_for: str | None = Field(description="What its engine waits for, while it pauses.")


class WorkerProcess(BaseModel):
    id: str = Field(description="Of the process: one that takes its place has another.")
    object: Literal["worker"] = "worker"
    role: WorkerRole
    name: str
    host: str
    pid: int
    device: str | None
    version: str
    state: WorkerState = Field(description="lost: it has not reported for three periods, so it is frozen or gone.")
    started_at: datetime
    seen_at: datetime = Field(description="When it last reported. The other fields are as they were then.")
    seen_seconds: float = Field(description="How long ago that was.")
    stepped_at: datetime | None = Field(description="When it last finished a step of its work.")
    model: str | None
    pool: str | None
    batch_rows: int | None
    batch_tokens: int | None = Field(description="Input tokens of its batch, padding included.")
    items: int = Field(description="Items settled, or webhooks attempted, since it started.")
    tokens: int = Field(description="Their input and output tokens.")
    items_per_second: float = Field(description="Over the last minute, in which it may have been idle.")
    models: list[WorkersModel]
    last_error: str | None
    last_error_at: datetime | None


class WorkerList(BaseModel):
    object: Literal["list"] = "list"
    data: list[WorkerProcess]


@router.get("", response_model=WorkerList)
def workers(request: Request, tenant: Admin) -> WorkerList:
    """Every process that works, by role and name; lost ones come last and are shown for an hour.

    At most the 1,000 seen last. This needs an admin key of the first tenant.
    """
    require_operator(tenant)
    state = of(request)
    with translated(), state.database.begin() as connection:
        found = ledger.find_all(connection)
    shown = [_shown(row, state.settings.presence_seconds) for row in found]
    shown.sort(key=lambda each: (each.state is WorkerState.LOST, each.role, each.name, each.seen_seconds))
    return WorkerList(data=shown)


def _shown(row: ledger.WorkerRow, presence_seconds: float) -> WorkerProcess:
    return WorkerProcess(
        id=str(row.id),
        role=WorkerRole(row.role),
        name=row.name,
        host=row.host,
        pid=row.pid,
        device=row.device,
        version=row.version,
        state=ledger.state_of(row.state, row.seen_seconds, presence_seconds),
        started_at=row.started_at,
        seen_at=row.seen_at,
        seen_seconds=round(row.seen_seconds, 1),
        stepped_at=row.stepped_at,
        model=row.model,
        pool=row.pool,
        batch_rows=row.batch_rows,
        batch_tokens=row.batch_tokens,
        items=row.n_items,
        tokens=row.n_tokens,
        items_per_second=round(row.items_per_second, 1),
        models=[WorkersModel(**model) for model in row.models],
        last_error=row.last_error,
        last_error_at=row.last_error_at,
    )
