"""The keys of a tenant: what each may do, making one, rotating it and revoking it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from api.access import caller
from api.admin import keys, tenants, usage
from api.admin.keys import MAX_EXPIRY_SECONDS, CreatedKey, Key, KeyRotation, NewKey
from api.http import form
from api.http.form import Fields
from api.http.identifier import identifier
from api.page import answer, session
from api.page.account import sums, typed
from api.page.account.sums import OfTenant
from api.page.session import PageAdmin
from api.page.state import of
from api.problem import EXPECTED, Problem, described
from lengthwise.errors import InvalidInput
from lengthwise.key import Scope

router = APIRouter(prefix="/page/keys", include_in_schema=False)

PAGE_KEYS = 50
_DAY_SECONDS = 86_400
_MAX_DAYS = MAX_EXPIRY_SECONDS // _DAY_SECONDS
#: What each scope allows, as docs/keys.md says it.
_SCOPES = {
    Scope.SUBMIT: "make, retry, cancel and delete jobs",
    Scope.READ: "see jobs, results, deliveries, models and usage",
    Scope.WEBHOOKS: "register and change webhook endpoints",
    Scope.ADMIN: "all of these, and manage keys and limits",
}
#: How long an old key stays valid, in seconds, as the form offers it.
_OVERLAPS = {0: "no time", 3_600: "1 hour", 86_400: "1 day", 7 * 86_400: "7 days", 30 * 86_400: "30 days"}
_USUAL_OVERLAP = 86_400


class ListedKey(NamedTuple):
    """A key with what its row says: valid, expired or revoked, and the day of its last request of late."""

    key: Key
    state: str
    last_used_on: date | None
    is_own: bool


class KeyForm(NamedTuple):
    """What was typed into the form of a new key."""

    name: str = ""
    scopes: Sequence[str] = (Scope.SUBMIT, Scope.READ)
    days: str = ""


@router.get("")
def listing(request: Request, tenant: PageAdmin, after: str | None = None, of_tenant: OfTenant = None) -> Response:
    """The keys of the viewer's tenant, or of the one that the operator names, the newest first."""
    return _listed(request, tenant, of_tenant or None, KeyForm(), after=after or None)


@router.post("")
async def create(request: Request, tenant: PageAdmin) -> Response:
    """Makes a key. This answer alone shows it."""
    given = await form.read_fields(request)
    sent = KeyForm(typed.text(given, "name"), given.get("scope", []), typed.text(given, "days"))
    try:
        made = await run_in_threadpool(keys.create, of(request), tenant, _wanted(given, sent))
    except EXPECTED as error:
        of_tenant = typed.text(given, "tenant") or None
        return await run_in_threadpool(_listed, request, tenant, of_tenant, sent, wrong=described(error))
    return _made(request, tenant, made)


@router.get("/{key_id}/revoke")
def ask_to_revoke(request: Request, tenant: PageAdmin, key_id: str) -> Response:
    """Asks before it is done."""
    return _ask(request, tenant, key_id, "revoke")


@router.post("/{key_id}/revoke")
def revoke(request: Request, tenant: PageAdmin, key_id: str) -> Response:
    """Revokes the key. Whoever revokes the key of their own session is signed out."""
    revoked = keys.revoke_key(request, tenant, key_id)
    if UUID(revoked.id) != caller.key_id():
        return answer.redirect(_path(tenant, revoked.tenant))
    answered = answer.redirect("/page/sign-in")
    session.end(answered, request)
    return answered


@router.get("/{key_id}/rotate")
def ask_to_rotate(request: Request, tenant: PageAdmin, key_id: str) -> Response:
    """Asks how long the old key stays valid."""
    return _ask(request, tenant, key_id, "rotate")


@router.post("/{key_id}/rotate")
async def rotate(request: Request, tenant: PageAdmin, key_id: str) -> Response:
    """Makes the key that takes the place of this one. This answer alone shows it."""
    given = await form.read_fields(request)
    wanted = typed.checked(KeyRotation, {"overlap_seconds": typed.number(given, "overlap_seconds")})
    old = identifier(key_id, "key")
    made = await run_in_threadpool(keys.rotate, of(request), tenant, old, wanted.overlap_seconds)
    return _made(request, tenant, made)


def _wanted(given: Fields, sent: KeyForm) -> NewKey:
    """Raises ``InvalidInput``."""
    days = typed.number(given, "days")
    if days is not None and (not isinstance(days, int) or not 1 <= days <= _MAX_DAYS):
        raise InvalidInput(f"must be 1 to {_MAX_DAYS}, or empty", "days")
    values = {
        "name": sent.name,
        "scopes": list(dict.fromkeys(sent.scopes)),
        "expires_in_seconds": None if days is None else days * _DAY_SECONDS,
        "tenant": typed.text(given, "tenant") or None,
    }
    return typed.checked(NewKey, values)


def _listed(
    request: Request,
    tenant: UUID,
    of_tenant: str | None,
    sent: KeyForm,
    *,
    after: str | None = None,
    wrong: Problem | None = None,
) -> Response:
    found = keys.list_keys(request, tenant, after, PAGE_KEYS, of_tenant)
    used_on = _last_days(request, tenant, of_tenant)
    next_after = {"after": found.data[-1].id} if found.has_more else {}
    return answer.page(
        request,
        "account/keys.html",
        wrong.status if wrong else 200,
        listed=[_row(key, used_on) for key in found.data],
        owner=tenants.show_tenant(request, tenant, of_tenant) if of_tenant else None,
        next_query=_query(of_tenant, next_after) if next_after else None,
        first_query=_query(of_tenant, {}) if after else None,
        scopes=_SCOPES,
        sent=sent,
        wrong=wrong,
    )


def _last_days(request: Request, tenant: UUID, of_tenant: str | None) -> dict[str | None, date | None]:
    """By key, the day of its last request in the last 30 days. The sums are in the order of their days."""
    first, last = usage.days(None, None)
    found = sums.read(request, tenant, of_tenant, first, last, ["day", "key"])
    return {each.key: each.day for each in found if each.requests}


def _row(key: Key, used_on: Mapping[str | None, date | None]) -> ListedKey:
    state = "valid"
    if key.revoked_at is not None:
        state = "revoked"
    elif key.expires_at is not None and key.expires_at <= datetime.now(UTC):
        state = "expired"
    return ListedKey(key, state, used_on.get(key.id), UUID(key.id) == caller.key_id())


def _ask(request: Request, tenant: UUID, key_id: str, act: str) -> Response:
    key = keys.show_key(request, tenant, key_id)
    return answer.page(
        request,
        "account/key_ask.html",
        act=act,
        key=key,
        is_own=UUID(key.id) == caller.key_id(),
        overlaps=_OVERLAPS,
        usual=_USUAL_OVERLAP,
        back=_path(tenant, key.tenant),
    )


def _made(request: Request, tenant: UUID, made: CreatedKey) -> Response:
    return answer.page(request, "account/key_made.html", made=made, back=_path(tenant, made.tenant))


def _path(tenant: UUID, owner: str) -> str:
    """Where the keys of this owner are."""
    return "/page/keys" if owner == str(tenant) else f"/page/keys?{_query(owner, {})}"


def _query(of_tenant: str | None, more: Mapping[str, str]) -> str:
    return urlencode(({"tenant": of_tenant} if of_tenant else {}) | dict(more))
