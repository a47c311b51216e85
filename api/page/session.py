"""Who is signed in: a cookie holds the key, sealed, for twelve hours.

The server stores nothing. Each request opens the cookie and checks the key in it as the API does, so that a key that is
revoked, expired or of another pepper ends the session at once.
"""

from typing import Annotated
from uuid import UUID

from fastapi import Request, Response, Security
from fastapi.security import SecurityScopes

from api.access import auth
from api.page import origin
from api.page.seal import SECONDS
from api.page.state import of
from lengthwise.errors import Unauthorized
from lengthwise.key import Scope

COOKIE = "lengthwise_session"


def authorization(request: Request) -> list[str]:
    """The header that a caller of the API would send for this session. Raises ``Unauthorized`` if there is none."""
    token = of(request).sessions.open(request.cookies.get(COOKIE, ""))
    if token is None:
        raise Unauthorized
    return bearer(token)


def bearer(token: str) -> list[str]:
    return [f"Bearer {token}"]


async def signed_in(request: Request, wanted: SecurityScopes) -> UUID:
    """The tenant of the session's key. Raises what the API raises for this key, and refuses other sites' requests."""
    if request.method != "GET":
        origin.require_own(request)
    return await auth.checked(request, wanted.scopes, authorization(request))


#: The tenant of a session, whatever its key may do.
PageVisitor = Annotated[UUID, Security(signed_in)]
#: The tenant of a session whose key has this scope.
PageReader = Annotated[UUID, Security(signed_in, scopes=[Scope.READ.value])]
PageSubmitter = Annotated[UUID, Security(signed_in, scopes=[Scope.SUBMIT.value])]
PageWebhookKeeper = Annotated[UUID, Security(signed_in, scopes=[Scope.WEBHOOKS.value])]
PageAdmin = Annotated[UUID, Security(signed_in, scopes=[Scope.ADMIN.value])]


def begin(response: Response, request: Request, token: str) -> None:
    """Sets the cookie. No script reads it, and no other site's request carries it."""
    response.set_cookie(
        COOKIE,
        of(request).sessions.seal(token),
        max_age=SECONDS,
        path="/page",
        secure=origin.is_encrypted(request),
        httponly=True,
        samesite="strict",
    )


def end(response: Response, request: Request) -> None:
    response.delete_cookie(COOKIE, path="/page", secure=origin.is_encrypted(request), httponly=True, samesite="strict")
