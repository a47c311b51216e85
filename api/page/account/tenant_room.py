"""Tenants: their share, their limits, and how much of each is in use.

Those who operate the installation make and change them.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from api.access.auth import DEFAULT, require_operator
from api.admin import tenants
from api.admin.keys import resolve_tenant
from api.admin.tenants import NewTenant, Tenant, TenantChange, TenantInUse
from api.http import form
from api.http.form import Fields
from api.page import answer
from api.page.account import typed
from api.page.session import PageAdmin
from api.page.state import of
from api.problem import EXPECTED, Problem, described

router = APIRouter(prefix="/page/tenants", include_in_schema=False)

PAGE_TENANTS = 50
_LIMITS = ("max_pending_tokens", "max_requests_per_minute", "max_open_jobs")
_FIELDS = ("name", "weight", *_LIMITS)
#: The form of a new tenant, as nothing was typed.
_EMPTY = {**dict.fromkeys(_FIELDS, ""), "weight": "1"}


@router.get("")
def listing(request: Request, tenant: PageAdmin, after: str | None = None) -> Response:
    """All tenants, the newest first; those who do not operate the installation see their own."""
    return _listed(request, tenant, _EMPTY, after=after or None)


@router.post("")
async def create(request: Request, tenant: PageAdmin) -> Response:
    """Makes a tenant, and goes on to its page."""
    require_operator(tenant)
    given = await form.read_fields(request)
    try:
        made = await run_in_threadpool(tenants.create, of(request), typed.checked(NewTenant, _values(given)))
    except EXPECTED as error:
        return await run_in_threadpool(_listed, request, tenant, _texts(given), wrong=described(error))
    return answer.redirect(f"/page/tenants/{made.id}")


@router.get("/{tenant_id}")
def show(request: Request, tenant: PageAdmin, tenant_id: str) -> Response:
    found = tenants.show_tenant(request, tenant, tenant_id)
    return _shown(request, tenant, found, _of_tenant(found))


@router.post("/{tenant_id}")
async def change(request: Request, tenant: PageAdmin, tenant_id: str) -> Response:
    """Changes the tenant as the form says. An empty limit is that of the settings."""
    wanted_id = resolve_tenant(tenant, tenant_id)
    require_operator(tenant)
    given = await form.read_fields(request)
    try:
        wanted = typed.checked(TenantChange, _values(given))
        changed = await run_in_threadpool(tenants.change, of(request), wanted_id, wanted)
    except EXPECTED as error:
        found = await run_in_threadpool(tenants.show_tenant, request, tenant, tenant_id)
        return _shown(request, tenant, found, _texts(given), described(error))
    return answer.redirect(f"/page/tenants/{changed.id}")


def _values(given: Fields) -> dict[str, Any]:
    """As a body of the API would have them. Raises ``InvalidInput``."""
    weight = typed.number(given, "weight")
    limits = {name: typed.number(given, name) for name in _LIMITS}
    return {"name": typed.text(given, "name")} | ({} if weight is None else {"weight": weight}) | limits


def _texts(given: Fields) -> dict[str, str]:
    return {name: typed.text(given, name) for name in _FIELDS}


def _of_tenant(found: Tenant) -> dict[str, str]:
    """The form, filled with what is in force."""
    values = {name: getattr(found, name) for name in _FIELDS}
    return {name: "" if value is None else str(value) for name, value in values.items()}


def _listed(
    request: Request,
    tenant: UUID,
    texts: Mapping[str, str],
    *,
    after: str | None = None,
    wrong: Problem | None = None,
) -> Response:
    found = tenants.list_tenants(request, tenant, after, PAGE_TENANTS)
    return answer.page(
        request,
        "account/tenants.html",
        wrong.status if wrong else 200,
        tenants=found.data,
        next_after=found.data[-1].id if found.has_more else None,
        is_first=after is None,
        may_change=tenant == DEFAULT,
        typed=texts,
        wrong=wrong,
    )


def _shown(
    request: Request, tenant: UUID, found: TenantInUse, texts: Mapping[str, str], wrong: Problem | None = None
) -> Response:
    return answer.page(
        request,
        "account/tenant.html",
        wrong.status if wrong else 200,
        tenant=found,
        may_change=tenant == DEFAULT,
        typed=texts,
        wrong=wrong,
    )
