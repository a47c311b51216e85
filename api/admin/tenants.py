"""Tenants. Admins of the first tenant make and change them; other admins see their own tenant."""

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.access import caller
from api.access.auth import DEFAULT, Admin, require_operator
from api.admin import limits
from api.admin.keys import resolve_tenant
from api.admin.limits import Limits
from api.http import document, json_body
from api.jobs.state import JobsState, of
from api.state import State
from lengthwise.database import translated
from lengthwise.errors import InvalidInput
from lengthwise.kinds.kind import RequestPart, Text
from lengthwise.ledger.accounts import tenant as ledger

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/tenants", tags=["tenants"], responses=document.KEY_ERRORS)

_Limit = Annotated[int, Field(ge=1, le=2**31 - 1)]


class TenantLimits(RequestPart):
    """What may be changed. Null means the limit of the settings."""

    weight: float = Field(default=1, ge=0.001, le=1000, description="Its share of the work, relative to other tenants.")
    max_pending_tokens: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = Field(
        default=None, description="Input tokens that may wait or run."
    )
    max_requests_per_minute: _Limit | None = None
    max_open_jobs: _Limit | None = None


class NewTenant(TenantLimits):
    name: Text = Field(min_length=1, max_length=200)


class TenantChange(TenantLimits):
    """A field that is left out stays as it is."""

    name: Annotated[Text, Field(min_length=1, max_length=200)] | None = None


class Tenant(BaseModel):
    id: str
    object: Literal["tenant"] = "tenant"
    name: str
    weight: float
    max_pending_tokens: int | None
    max_requests_per_minute: int | None
    max_open_jobs: int | None
    created_at: datetime


class TenantInUse(Tenant):
    limits: Limits


class TenantList(BaseModel):
    object: Literal["list"] = "list"
    data: list[TenantInUse]
    has_more: bool


_EXAMPLE = {"name": "shop", "weight": 2, "max_requests_per_minute": 600, "max_open_jobs": 100}
_TAKEN = document.conflict("Another tenant has the name", "another tenant has this name")


@router.post(
    "",
    status_code=201,
    response_model=Tenant,
    openapi_extra=json_body.documented(NewTenant, _EXAMPLE),
    responses=_TAKEN | document.problems(400, 413, 415, 422, 507),
)
async def create_tenant(request: Request, tenant: Admin) -> Tenant:
    """Makes a tenant. Make its first key at /v1/keys; with the scope admin, that key can make the others."""
    require_operator(tenant)
    wanted = await json_body.read(request, NewTenant)
    return await run_in_threadpool(create, of(request), wanted)


def create(state: State, wanted: NewTenant) -> Tenant:
    """Makes the tenant that the operator wants. Raises ``Conflict`` and ``Unavailable``."""
    with translated(), state.database.begin() as connection:
        row = ledger.add(connection, wanted.model_dump())
    log.info("the key %s made the tenant %s", caller.key_id(), row.id)
    return _shown(row)


def _shown(row: ledger.TenantRow) -> Tenant:
    return Tenant(
        id=str(row.id),
        name=row.name,
        weight=row.weight,
        max_pending_tokens=row.max_pending_tokens,
        max_requests_per_minute=row.max_requests_per_minute,
        max_open_jobs=row.max_open_jobs,
        created_at=row.created_at,
    )


@router.get("", response_model=TenantList, responses=document.missing("tenant") | document.problems(422))
def list_tenants(
    request: Request,
    tenant: Admin,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> TenantList:
    """The newest first; ``after`` is the id of the last one seen. Other tenants than the first see only themselves."""
    state = of(request)
    seen = None if after is None else resolve_tenant(tenant, after)
    with translated(), state.database.begin() as connection:
        if seen is not None:
            ledger.find(connection, seen)
        if tenant == DEFAULT:
            found = ledger.page(connection, seen, limit + 1)
        else:
            found = [] if seen else [ledger.find(connection, tenant)]
    return TenantList(data=_in_use(state, found[:limit]), has_more=len(found) > limit)


def _in_use(state: JobsState, rows: Sequence[ledger.TenantRow]) -> list[TenantInUse]:
    found = zip(rows, limits.read(state, rows), strict=True)
    return [TenantInUse(**dict(_shown(row)), limits=use) for row, use in found]


@router.get("/{tenant_id}", response_model=TenantInUse, responses=document.missing("tenant") | document.problems())
def show_tenant(request: Request, tenant: Admin, tenant_id: str) -> TenantInUse:
    """Its weight, its own limits, and how much of each limit is in use."""
    state = of(request)
    with translated(), state.database.begin() as connection:
        row = ledger.find(connection, resolve_tenant(tenant, tenant_id))
    [found] = _in_use(state, [row])
    return found


@router.patch(
    "/{tenant_id}",
    response_model=Tenant,
    openapi_extra=json_body.documented(TenantChange, {"max_open_jobs": 500, "max_requests_per_minute": None}),
    responses=document.missing("tenant") | _TAKEN | document.problems(400, 413, 415, 422, 507),
)
async def change_tenant(request: Request, tenant: Admin, tenant_id: str) -> Tenant:
    """Changes the fields that are named, in every process within two seconds. Null restores the settings' limit."""
    wanted_id = resolve_tenant(tenant, tenant_id)  # another's tenant is a 404, one's own a 403
    require_operator(tenant)
    wanted = await json_body.read(request, TenantChange)
    return await run_in_threadpool(change, of(request), wanted_id, wanted)


def change(state: State, tenant_id: UUID, wanted: TenantChange) -> Tenant:
    """Changes it as the operator wants. Raises ``InvalidInput``, ``NotFound``, ``Conflict`` and ``Unavailable``."""
    changes = wanted.model_dump(exclude_unset=True)
    if "name" in changes and changes["name"] is None:
        raise InvalidInput("must be a name", "name")
    with translated(), state.database.begin() as connection:
        row = ledger.change(connection, tenant_id, changes)
    log.info("the key %s changed the tenant %s", caller.key_id(), row.id)
    return _shown(row)
