"""Makes one attempt to deliver a webhook over HTTP, whatever the receiver does.

It follows no redirect, uses no proxy from the environment, retries nothing and keeps no connection. Knows nothing of
signatures, jobs or the database.
"""

import contextlib
import logging
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache

import httpcore

from lengthwise.errors import InvalidInput
from lengthwise.retry_after import parse_retry_after
from lengthwise.webhooks.reserved import Network
from lengthwise.webhooks.target import ForbiddenAddress, Target, Unresolvable, parse
from worker.delivery.deadline_stream import Deadline
from worker.delivery.guarded_dialer import GuardedBackend
from worker.delivery.outcome import AttemptOutcome, excerpt

#: Seconds for the look-up of the name and the connection, and the same again for TLS.
CONNECT_SECONDS = 5.0
#: Seconds for reading the answer's body. The status alone decides; the body only helps people to find the cause.
BODY_SECONDS = 2.0
MAX_BODY_BYTES = 4096

USER_AGENT = "lengthwise-webhook/1"

# At DEBUG httpcore logs hosts and headers, and with them signatures.
logging.getLogger("httpcore").setLevel(logging.WARNING)

FAILURES = (
    InvalidInput,
    Unresolvable,
    httpcore.NetworkError,
    httpcore.TimeoutException,
    httpcore.ProtocolError,
)


def post(
    target_url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    allowed: Sequence[Network] = (),
    timeout: float = 15.0,
    ssl_context: ssl.SSLContext | None = None,
) -> AttemptOutcome:
    """Sends ``body`` to ``target_url`` by POST, as JSON unless ``headers`` says otherwise. Returns how it ended.

    Takes at most ``timeout`` seconds, from the look-up of the name to the end of the answer's body. Dials only public
    addresses and those in ``allowed``. Keeps at most 4 KiB of the answer's body. ``ssl_context`` replaces the public
    certificate authorities. All failures of the receiver and the network are returned as an ``AttemptOutcome``.
    """
    begun = time.monotonic()
    try:
        outcome = _exchange(parse(target_url), body, headers, allowed, Deadline(begun + timeout), ssl_context)
    except FAILURES as failure:
        outcome = AttemptOutcome(error=_code(failure))
    return replace(outcome, seconds=time.monotonic() - begun)


def _exchange(
    target: Target,
    body: bytes,
    headers: Mapping[str, str],
    allowed: Sequence[Network],
    deadline: Deadline,
    ssl_context: ssl.SSLContext | None,
) -> AttemptOutcome:
    url = httpcore.URL(
        scheme=target.scheme.encode(),
        host=target.host.encode(),
        port=target.port,
        target=target.path.encode(),
    )
    with (
        httpcore.ConnectionPool(
            ssl_context=ssl_context or _public_authorities(),
            max_connections=1,
            network_backend=GuardedBackend(allowed, deadline),
        ) as pool,
        pool.stream(
            "POST",
            url,
            headers=_headers(target, body, headers),
            content=body,
            extensions={"timeout": {"connect": CONNECT_SECONDS}},
        ) as response,
    ):
        deadline.shorten(BODY_SECONDS)
        error = "redirect" if 300 <= response.status < 400 else None
        return AttemptOutcome(response.status, error, parse_retry_after(response.headers), excerpt(_read(response)))


def _read(response: httpcore.Response) -> bytes:
    start = b""
    with contextlib.suppress(*FAILURES):
        for chunk in response.iter_stream():
            start += chunk
            if len(start) >= MAX_BODY_BYTES:
                break
    return start[:MAX_BODY_BYTES]


def _headers(target: Target, body: bytes, headers: Mapping[str, str]) -> list[tuple[str, str]]:
    ours = {"host": target.authority, "content-length": str(len(body)), "connection": "close"}
    defaults = {"content-type": "application/json", "user-agent": USER_AGENT, "accept": "*/*"}
    return list({**defaults, **{name.lower(): value for name, value in headers.items()}, **ours}.items())


def _code(failure: Exception) -> str:
    match failure:
        case ForbiddenAddress():
            return "forbidden_address"
        case InvalidInput():
            return "invalid_url"
        case Unresolvable():
            return "unresolvable"
        case httpcore.TimeoutException():
            return "timeout"
        case httpcore.NetworkError():
            return str(failure)
        case _:
            return "protocol"


@cache
def _public_authorities() -> ssl.SSLContext:
    return httpcore.default_ssl_context()
