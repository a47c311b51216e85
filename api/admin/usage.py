"""What each of a tenant's keys used on each day."""

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from api.access.auth import AccessState, Admin, Reader, of
from api.admin.keys import resolve_tenant
from api.http import document
from lengthwise.database import translated
from lengthwise.errors import InvalidInput, Unavailable
from lengthwise.key import INSTALLATION
from lengthwise.ledger.accounts import tenant as tenants
from lengthwise.ledger.accounts import usage as ledger

router = APIRouter(prefix="/v1", tags=["usage"], responses=document.KEY_ERRORS | document.problems(422))

_MAX_DAYS = 366
_Day = Annotated[str | None, Query(pattern=r"^\d{4}-\d\d-\d\d$", description="UTC, included.", examples=["2031-01-31"])]
_From = Annotated[_Day, Query(alias="from")]


class DayUsage(BaseModel):
    day: date
    key: str | None = Field(description="Null is the installation's own key.")
    requests: int = Field(description="All requests under this key, failed ones included. Updated every few seconds.")
    items: int = Field(description="Items of jobs that ended on this day and that ran, failed ones included.")
    input_tokens: int
    output_tokens: int


class UsageList(BaseModel):
    object: Literal["list"] = "list"
    data: list[DayUsage]


@router.get("/usage", response_model=UsageList)
def usage(request: Request, tenant: Reader, first: _From = None, to: _Day = None) -> UsageList:
    """By day and key: the last 30 days, unless the request names others; at most a year."""
    return _usage(of(request), tenant, first, to)


@router.get("/tenants/{tenant_id}/usage", response_model=UsageList, responses=document.missing("tenant"))
def usage_of_tenant(request: Request, tenant: Admin, tenant_id: str, first: _From = None, to: _Day = None) -> UsageList:
    """The same for one tenant. Admins of the first tenant may name any."""
    state, found = of(request), resolve_tenant(tenant, tenant_id)
    with translated(), state.database.begin() as connection:
        tenants.find(connection, found)
    return _usage(state, found, first, to)


def _usage(state: AccessState, tenant: UUID, first: str | None, to: str | None) -> UsageList:
    last_day = _day(to, "to") or datetime.now(UTC).date()
    first_day = _day(first, "from") or last_day - timedelta(days=min(29, (last_day - date.min).days))
    if not 0 <= (last_day - first_day).days < _MAX_DAYS:
        raise InvalidInput(f"must be a day up to the last one, and {_MAX_DAYS} days before it at most", "from")
    with suppress(Unavailable):  # if Postgres takes no writes, the answer has the counts that were written last
        state.request_counter.write()
    with translated(), state.database.begin() as connection:
        found = ledger.list_days(connection, tenant, first_day, last_day)
    return UsageList(data=list(map(_shown, found)))


def _day(text: str | None, field: str) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise InvalidInput("must be a day, such as 2031-01-31", field) from None


def _shown(row: ledger.UsageRow) -> DayUsage:
    return DayUsage(
        day=row.day,
        key=None if row.key_id == INSTALLATION else str(row.key_id),
        requests=row.requests,
        items=row.items,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
    )
