"""Signing in with an API key, and out."""

import logging

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse

from api.access import auth
from api.http import form
from api.page import answer, origin, room, session
from api.page.header import HEADERS
from lengthwise.errors import Unauthorized

log = logging.getLogger(__name__)
router = APIRouter(prefix="/page", include_in_schema=False)

#: Where everybody comes who names no room, whether or not the key may see the overview.
_EVERYBODYS = ("/page", "/page/sign-in")
_WRONG = "This key is not valid: it is unknown, expired or revoked."


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Begins a session, and goes back to the page that asked for it."""
    origin.require_own(request)
    given = await form.read_fields(request)
    token = given.get("key", [""])[0].strip()
    try:
        await auth.checked(request, [], session.bearer(token))
    except Unauthorized:
        return HTMLResponse(answer.rendered("sign_in.html", wrong=_WRONG), 401, HEADERS)
    viewer = request.state.caller
    back = origin.page_before(request)
    answered = answer.redirect(back if back and back not in _EVERYBODYS else room.first_of(viewer))
    session.begin(answered, request, token)
    log.info("the key %s signed in to the page", viewer.key_id)
    return answered


@router.get("/sign-in")
async def ask() -> Response:
    return HTMLResponse(answer.rendered("sign_in.html", wrong=None), headers=HEADERS)


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """Ends the session in this browser."""
    origin.require_own(request)
    answered = answer.redirect("/page/sign-in")
    session.end(answered, request)
    return answered
