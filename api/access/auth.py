"""Checks a request's key and gives its tenant, which every query needs.

A route declares the scope that the key must have by the type of its tenant argument: ``Reader``, ``Submitter``,
``WebhookKeeper`` or ``Admin``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from api.access import caller
from api.access.keyring import OPERATOR, Keyring
from api.access.rate import RateLimits
from api.access.request_counter import RequestCounter
from api.state import State
from lengthwise.errors import Forbidden
from lengthwise.key import Scope

#: The tenant that the first migration makes.
DEFAULT = OPERATOR


@dataclass(frozen=True, kw_only=True)
class AccessState(State):
    """What requests share to check their keys."""

    keyring: Keyring
    rate_limits: RateLimits
    request_counter: RequestCounter


def of(request: Request) -> AccessState:
    state: AccessState = request.app.state.shared
    return state


class _Bearer(SecurityBase):
    """The scheme as OpenAPI shows it. A call gives the request's ``Authorization`` headers unchanged."""

    model = HTTPBearer(bearerFormat="lw_<public id>_<secret>", description="An API key, made at /v1/keys.")
    scheme_name = "key"

    async def __call__(self, request: Request) -> list[str]:
        return request.headers.getlist("authorization")


async def current(
    request: Request, wanted: SecurityScopes, authorization: Annotated[list[str], Depends(_Bearer())]
) -> UUID:
    """The tenant of the key. Raises ``Unauthorized``, ``Forbidden``, ``TooBusy`` and ``Unavailable``."""
    return await checked(request, wanted.scopes, authorization)


async def checked(request: Request, scopes: Sequence[str], authorization: Sequence[str]) -> UUID:
    """The tenant of the key in these headers, once it is counted and has all of these scopes.

    A request is counted once, however often this is called. Raises ``Unauthorized``, ``Forbidden``, ``TooBusy`` and
    ``Unavailable``.
    """
    state = of(request)
    known: caller.Caller | None = getattr(request.state, "caller", None)
    if known is None:
        known = request.state.caller = await state.keyring.admit(authorization)
        caller.set_current(known)
        state.request_counter.count(known)
        await state.rate_limits.count(request, known)
    if not all(map(known.may, scopes)):
        raise Forbidden
    return known.tenant_id


def require_operator(tenant: UUID) -> None:
    """Raises ``Forbidden`` unless an admin of this tenant operates the installation: only the first tenant's does."""
    if tenant != DEFAULT:
        raise Forbidden


#: The tenant of a key that has this scope.
Reader = Annotated[UUID, Security(current, scopes=[Scope.READ.value])]
Submitter = Annotated[UUID, Security(current, scopes=[Scope.SUBMIT.value])]
WebhookKeeper = Annotated[UUID, Security(current, scopes=[Scope.WEBHOOKS.value])]
Admin = Annotated[UUID, Security(current, scopes=[Scope.ADMIN.value])]
