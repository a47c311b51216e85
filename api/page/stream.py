"""Answers whose figures follow by themselves: the events of ``api.page.live`` for one viewer."""

from collections.abc import Hashable

from fastapi import Request
from fastapi.responses import StreamingResponse

from api.page import session
from api.page.header import EVENT_HEADERS
from api.page.live import Look
from api.page.state import of


def events(request: Request, what: Hashable, look: Look) -> StreamingResponse:
    """What ``look`` shows of ``what``, for whoever is signed in. Raises ``TooBusy``."""
    state, viewer = of(request), request.state.caller
    state.live.require_room(viewer.key_id)
    sent = session.authorization(request)
    stream = state.live.stream(viewer.key_id, what, look, lambda: state.keyring.admit(sent))
    return StreamingResponse(stream, media_type="text/event-stream", headers=EVENT_HEADERS)
