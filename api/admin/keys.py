"""API keys: make, list, rotate and revoke them. This needs a key with the scope admin.

An admin key manages the keys of its own tenant. An admin key of the first tenant manages those of every tenant.
"""

import logging
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.access import caller
from api.access.auth import DEFAULT, Admin
from api.http import document, json_body
from api.http.identifier import identifier
from api.state import State, of
from lengthwise import key as keys
from lengthwise.database import translated
from lengthwise.errors import NotFound
from lengthwise.kinds.kind import RequestPart, Text
from lengthwise.ledger.accounts import key as ledger

log = logging.getLogger(__name__)
router = APIRouter(prefix="/v1/keys", tags=["keys"], responses=document.KEY_ERRORS)

ScopeName = Literal["submit", "read", "webhooks", "admin"]
#: Ten years. A key that should live longer needs no expiry.
MAX_EXPIRY_SECONDS = 10 * 366 * 86_400


class NewKey(RequestPart):
    name: Text = Field(min_length=1, max_length=200)
    scopes: list[ScopeName] = Field(min_length=1, max_length=4)
    expires_in_seconds: int | None = Field(
        default=None, ge=1, le=MAX_EXPIRY_SECONDS, description="Without it the key lives until it is revoked."
    )
    tenant: Annotated[Text, Field(max_length=64)] | None = Field(
        default=None, description="The id of another tenant; the first tenant's admin may name one."
    )


class KeyRotation(RequestPart):
    overlap_seconds: int = Field(
        default=86_400, ge=0, le=90 * 86_400, description="How long the old key stays valid, at most."
    )


class Key(BaseModel):
    id: str
    object: Literal["key"] = "key"
    tenant: str
    name: str
    scopes: list[keys.Scope]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class CreatedKey(Key):
    key: str = Field(description="Only this answer shows it.")


class KeyList(BaseModel):
    object: Literal["list"] = "list"
    data: list[Key]
    has_more: bool


_EXAMPLE = {"name": "shop", "scopes": ["submit", "read"], "expires_in_seconds": 7_776_000}


@router.post(
    "",
    status_code=201,
    response_model=CreatedKey,
    openapi_extra=json_body.documented(NewKey, _EXAMPLE),
    responses=document.missing("tenant") | document.problems(400, 413, 415, 422, 507),
)
async def create_key(request: Request, tenant: Admin) -> CreatedKey:
    """Makes a key. Only this answer shows it."""
    wanted = await json_body.read(request, NewKey)
    return await run_in_threadpool(create, of(request), tenant, wanted)


def resolve_tenant(tenant: UUID, wanted: str | None) -> UUID:
    """The tenant that an admin of ``tenant`` names. Only the first tenant may name another. Raises ``NotFound``."""
    found = tenant if wanted is None else identifier(wanted, "tenant")
    if found != tenant and tenant != DEFAULT:
        raise NotFound("there is no such tenant")
    return found


def _managed_tenant(tenant: UUID) -> UUID | None:
    """The tenant whose keys an admin of this tenant manages; None for all tenants."""
    return None if tenant == DEFAULT else tenant


def create(state: State, tenant: UUID, wanted: NewKey) -> CreatedKey:
    """Makes the key that an admin of ``tenant`` wants. Raises ``NotFound`` and ``Unavailable``."""
    owner = resolve_tenant(tenant, wanted.tenant)
    generated = keys.new_key()
    with translated(), state.database.begin() as connection:
        row = ledger.add(
            connection,
            owner,
            generated.id,
            _digest(state, generated),
            name=wanted.name,
            scopes=set(wanted.scopes),
            expires_in=wanted.expires_in_seconds,
        )
    log.info("the key %s made the key %s", caller.key_id(), row.id)
    return _created(row, generated)


def _digest(state: State, generated: keys.GeneratedKey) -> bytes:
    return keys.digest(generated.text, state.settings.require_key_pepper())


def _created(row: ledger.KeyRow, generated: keys.GeneratedKey) -> CreatedKey:
    return CreatedKey(**dict(_shown(row)), key=generated.text)


def _shown(row: ledger.KeyRow) -> Key:
    return Key(
        id=str(row.id),
        tenant=str(row.tenant_id),
        name=row.name,
        scopes=list(map(keys.Scope, row.scopes)),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )


@router.get("", response_model=KeyList, responses=document.missing("key") | document.problems(422))
def list_keys(
    request: Request,
    tenant: Admin,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    of_tenant: Annotated[str | None, Query(alias="tenant", description="As for a new key.")] = None,
) -> KeyList:
    """The newest first; ``after`` is the id of the last one seen."""
    owner = resolve_tenant(tenant, of_tenant)
    seen = None if after is None else identifier(after, "key")
    with translated(), of(request).database.begin() as connection:
        if seen is not None:
            ledger.find(connection, seen, owner)
        found = ledger.page(connection, owner, seen, limit + 1)
    return KeyList(data=list(map(_shown, found[:limit])), has_more=len(found) > limit)


@router.get("/{key_id}", response_model=Key, responses=document.missing("key") | document.problems())
def show_key(request: Request, tenant: Admin, key_id: str) -> Key:
    """Everything but the key itself, which is not stored."""
    with translated(), of(request).database.begin() as connection:
        return _shown(ledger.find(connection, identifier(key_id, "key"), _managed_tenant(tenant)))


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    response_model=CreatedKey,
    openapi_extra=json_body.documented(KeyRotation, {"overlap_seconds": 3600}, may_be_empty=True),
    responses=document.missing("key")
    | document.conflict("The key is expired or revoked", "the key is expired or revoked: make a new one")
    | document.problems(400, 413, 415, 422, 507),
)
async def rotate_key(request: Request, tenant: Admin, key_id: str) -> CreatedKey:
    """Makes a key of the same name, scopes and lifetime; the old one expires after the overlap, or sooner."""
    wanted = await json_body.read(request, KeyRotation, may_be_empty=True)
    return await run_in_threadpool(rotate, of(request), tenant, identifier(key_id, "key"), wanted.overlap_seconds)


def rotate(state: State, tenant: UUID, key_id: UUID, overlap: int) -> CreatedKey:
    """Rotates a key that an admin of ``tenant`` manages. Raises ``NotFound``, ``Conflict`` and ``Unavailable``."""
    generated = keys.new_key()
    with translated(), state.database.begin() as connection:
        row = ledger.rotate(
            connection, key_id, _managed_tenant(tenant), generated.id, _digest(state, generated), overlap=overlap
        )
    log.info("the key %s rotated the key %s, and so made the key %s", caller.key_id(), key_id, row.id)
    return _created(row, generated)


@router.post("/{key_id}/revoke", response_model=Key, responses=document.missing("key") | document.problems(507))
def revoke_key(request: Request, tenant: Admin, key_id: str) -> Key:
    """Revokes the key for good. Every process of the API refuses it within a second."""
    with translated(), of(request).database.begin() as connection:
        row = ledger.revoke(connection, identifier(key_id, "key"), _managed_tenant(tenant))
    log.info("the key %s revoked the key %s", caller.key_id(), row.id)
    return _shown(row)
