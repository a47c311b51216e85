"""Counts and times requests, by the template of their route: a path would be what the caller wrote."""

import time

from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lengthwise.metrics import meters

#: The methods that are labels. A caller can make up any number of others.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
#: The labels of a path that no route has, of any other method, and of a request whose caller left before the answer.
_UNKNOWN, _OTHER, _NONE = "unknown", "OTHER", "none"


class RequestMeter:
    """A middleware around all others. It reads nothing of a request but its method and its route."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_at, status = time.perf_counter(), _NONE

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            route = scope.get("route")
            path = route.path if isinstance(route, Route) else _UNKNOWN
            method = scope["method"] if scope["method"] in _METHODS else _OTHER
            meters.get().count_request(method, path, status, time.perf_counter() - began_at)
