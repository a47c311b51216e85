"""The middleware inside the meter: gives each request its id and its log line, and answers unexpected errors."""

import logging
import re
import time
from functools import partial
from uuid import UUID, uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problem import ErrorForms, Problem
from api.refusals import RefusalTally
from lengthwise import logs, traces
from lengthwise.traces import TraceSpan

log = logging.getLogger(__name__)

#: The only form in which a caller's own id is taken: a UUID, as proxies make it. Any other text could be a customer's.
_REQUEST_ID = re.compile(r"(?:req_)?[0-9a-f]{8}(-?)[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{4}\1[0-9a-f]{12}", re.ASCII)
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
#: Probes ask every few seconds, so their lines are details.
_PROBES = frozenset({"/healthz", "/readyz"})
_MISTAKE = Problem(500, "internal error", "this is a mistake of ours")


class Shield:
    """An unexpected error becomes a 500, and a log line says where it was raised.

    The error's message is never shown or logged, because it may hold what the caller sent. The error is not raised
    again, because the server would log it.
    """

    def __init__(self, app: ASGIApp, forms: ErrorForms, refusals: RefusalTally) -> None:
        self._app = app
        self._forms = forms
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        trace, request_id = _trace(headers), _request_id(headers)
        with logs.bound(request=request_id, trace=traces.trace_id(trace)):
            if scope["method"] != "POST":
                await self._answer(scope, receive, send, request_id)
                return
            # Whatever causes work later is a POST.
            with (
                traces.span("POST", trace, kind="server") as span,
                logs.bound(trace=traces.trace_id(span.traceparent)),
            ):
                _describe(span, scope, await self._answer(scope, receive, send, request_id))

    async def _answer(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> int | None:
        """Answers, and logs it. Returns the status; None if the caller had left before."""
        status: int | None = None
        began_at = time.perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            log.debug("the caller disconnected before its body was read")
        except Exception as error:
            begun = "" if status is None else " while answering"
            log.error("unexpected %s%s", type(error).__name__, begun, extra=logs.raised(error))
            if status is None:  # otherwise the server closes the connection, which breaks the answer off
                await self._forms.of(scope["path"])(_MISTAKE)(scope, receive, watched)
        finally:
            _log(scope, status, time.perf_counter() - began_at)
            if status is not None and status >= 400 and _key(scope) is None:
                self._refusals.count(status)
        return status


def _request_id(headers: Headers) -> str:
    """The caller's own id if it is well-formed, or else a new one."""
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else f"req_{uuid4().hex}"


def _trace(headers: Headers) -> str | None:
    given = headers.getlist("traceparent")
    return traces.parse(given[0]) if len(given) == 1 else None


def _route(scope: Scope) -> str | None:
    """The template of the path, such as ``/v1/jobs/{job_id}``; None for a path that does not exist."""
    return getattr(scope.get("route"), "path", None)


def _job(scope: Scope) -> str | None:
    """The job that the path names; None if what stands there is no id, since any other text is the caller's."""
    text = scope.get("path_params", {}).get("job_id", "")
    try:
        return text if str(UUID(text)) == text else None
    except ValueError:
        return None


def _key(scope: Scope) -> UUID | None:
    """The id of the request's key; None if it has no valid one, or was refused before one was looked for."""
    found: UUID | None = getattr(scope.get("state", {}).get("caller"), "key_id", None)
    return found


def _describe(span: TraceSpan, scope: Scope, status: int | None) -> None:
    route = _route(scope)
    if route is not None:
        span.rename(f"POST {route}")
        span.add({"http.route": route})
    span.add({"http.request.method": "POST"})
    if status is not None:
        span.add({"http.response.status_code": status})
    if status is None or status >= 500:
        span.fail("disconnected" if status is None else str(status))


def _log(scope: Scope, status: int | None, seconds: float) -> None:
    """The line of the access log. It names the route, since a path and a query hold what the caller wrote.

    A caller without a valid key could fill a disk with such lines, so that theirs are details, as are those of probes.
    """
    method, route, key = scope["method"], _route(scope), _key(scope)
    fields = {
        "method": method if method in _METHODS else "other",
        "route": route,
        "status": status,
        "seconds": seconds,
        "key": key,
        "job": _job(scope),
    }
    say = partial(log.log, logging.DEBUG if key is None or route in _PROBES else logging.INFO)
    say("%s %s: %s", fields["method"], route or "unknown path", status or "no answer", extra={"fields": fields})
