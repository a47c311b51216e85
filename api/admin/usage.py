"""What a tenant used, by day, key and model."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any, Literal
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
from lengthwise.ledger.accounts.usage import UsageGroup, UsageRow

router = APIRouter(prefix="/v1", tags=["usage"], responses=document.KEY_ERRORS | document.problems(422))

_MAX_DAYS = 366
LastDay = Annotated[
    str | None, Query(pattern=r"^\d{4}-\d\d-\d\d$", description="UTC, included.", examples=["2031-01-31"])
]
FirstDay = Annotated[LastDay, Query(alias="from")]

_GROUPS = {"day": UsageGroup.DAY, "key": UsageGroup.KEY, "model": UsageGroup.MODEL}
GroupName = Literal["day", "key", "model"]
Groups = Annotated[
    list[GroupName] | None,
    Query(description="What to sum by; repeatable. Day and key if it is not given.", max_length=10),
]


class UsageSum(BaseModel):
    """What was used in one group. Of ``day``, ``key`` and ``model`` only those are there that it is summed by."""

    day: date | None = None
    key: str | None = Field(default=None, description="Null is the installation's own key.")
    model: str | None = Field(
        default=None,
        description="`several` for a batch of several models. Null for requests, and for counts of earlier releases.",
    )
    requests: int = Field(description="All requests, failed ones included. Updated every few seconds.")
    items: int = Field(description="Items of jobs that ended on this day and that ran, failed ones included.")
    input_tokens: int
    output_tokens: int


class UsageList(BaseModel):
    object: Literal["list"] = "list"
    data: list[UsageSum]


@router.get("/usage", response_model=UsageList, response_model_exclude_unset=True)
def usage(request: Request, tenant: Reader, first: FirstDay = None, to: LastDay = None, by: Groups = None) -> UsageList:
    """By day and key, or by what ``by`` names: the last 30 days, unless the request names others; at most a year."""
    return _usage(of(request), tenant, first, to, by)


@router.get(
    "/tenants/{tenant_id}/usage",
    response_model=UsageList,
    response_model_exclude_unset=True,
    responses=document.missing("tenant"),
)
def usage_of_tenant(
    request: Request, tenant: Admin, tenant_id: str, first: FirstDay = None, to: LastDay = None, by: Groups = None
) -> UsageList:
    """The same for one tenant. Admins of the first tenant may name any."""
    state, found = of(request), resolve_tenant(tenant, tenant_id)
    with translated(), state.database.begin() as connection:
        tenants.find(connection, found)
    return _usage(state, found, first, to, by)


def _usage(state: AccessState, tenant: UUID, first: str | None, to: str | None, by: Sequence[str] | None) -> UsageList:
    first_day, last_day = days(first, to)
    names = set(by or ("day", "key"))
    with suppress(Unavailable):  # if Postgres takes no writes, the answer has the counts that were written last
        state.request_counter.write()
    with translated(), state.database.begin() as connection:
        found = ledger.sums(connection, tenant, first_day, last_day, {_GROUPS[name] for name in names})
    return UsageList(object="list", data=[_shown(row, names) for row in found])


def days(first: str | None, to: str | None) -> tuple[date, date]:
    """The first and the last day that are meant. Raises ``InvalidInput``."""
    last_day = _day(to, "to") or datetime.now(UTC).date()
    first_day = _day(first, "from") or last_day - timedelta(days=min(29, (last_day - date.min).days))
    if not 0 <= (last_day - first_day).days < _MAX_DAYS:
        raise InvalidInput(f"must be a day up to the last one, and {_MAX_DAYS} days before it at most", "from")
    return first_day, last_day


def _day(text: str | None, field: str) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise InvalidInput("must be a day, such as 2031-01-31", field) from None


def _shown(row: UsageRow, names: Collection[str]) -> UsageSum:
    groups: dict[str, Any] = {
        "day": row.day,
        "key": None if row.key_id in (None, INSTALLATION) else str(row.key_id),
        "model": row.model or None,
    }
    return UsageSum(
        **{name: value for name, value in groups.items() if name in names},
        requests=row.requests,
        items=row.items,
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
    )
