"""Sends one request to the server, once, and classifies failures. Errors and logs hold neither bodies nor the key."""

import asyncio
import logging
import ssl
from enum import Enum
from typing import Any

import httpx

from lengthwise.models.catalog import ServerOptions
from lengthwise.retry_after import parse_retry_after

# httpx logs every request, and httpcore its headers, which hold the key.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)

_CONNECT_SECONDS = 10.0
_PROBE_SECONDS = 5.0

_OVERLOADED = {429, 503}
#: The proxy in front of the server cannot reach it.
_UNREACHABLE = {502, 504}
#: The server failed this time; the next attempt may succeed.
_TEMPORARY = {408, 425, 500}
#: The address, the model's name or the key is wrong.
_MISCONFIGURED = {301, 302, 303, 307, 308, 401, 403, 404}


class Blame(Enum):
    #: Every other request would fail now as well.
    SERVER = "server"
    #: Other requests may succeed.
    REQUEST = "request"
    #: Either of them. A connection breaks if the server has ended, and also if this request was too much for it.
    UNKNOWN = "unknown"


class AttemptFailed(Exception):
    """An attempt without an answer. ``may_pass``: whether a further attempt may succeed."""

    def __init__(
        self, message: str, blame: Blame, *, may_pass: bool = True, is_overload: bool = False, retry_after: float = 0
    ) -> None:
        super().__init__(message)
        self.blame, self.may_pass = blame, may_pass
        #: Whether the server is overloaded, and for how many seconds it asks for a pause.
        self.is_overload, self.retry_after = is_overload, retry_after


class Server:
    """A server, by its address and key."""

    def __init__(self, options: ServerOptions, key: str | None) -> None:
        self._options = options
        self._headers = httpx.Headers(
            {"authorization": f"Bearer {key}"} if key else {}
        )  # the repr of httpx.Headers hides the key
        # The certificate authorities of the system and of SSL_CERT_FILE. Reading them takes longer than connecting.
        self._tls = ssl.create_default_context()

    def connections(self) -> httpx.AsyncClient:
        """Connections for one batch only, because the server may close idle ones at any time."""
        return httpx.AsyncClient(
            base_url=self._options.url,
            headers=self._headers,
            verify=self._tls,
            timeout=httpx.Timeout(self._options.timeout_seconds, connect=_CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=None),
            trust_env=False,  # the environment's proxy is for the internet, and this server may be local
        )

    async def complete(self, connections: httpx.AsyncClient, body: dict[str, Any]) -> Any:
        """Returns the JSON of the answer. Raises ``AttemptFailed``."""
        seconds = self._options.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                answer = await connections.post("completions", json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise AttemptFailed(f"the server cannot be reached ({type(error).__name__})", Blame.SERVER) from None
        except (TimeoutError, httpx.TimeoutException):
            raise AttemptFailed(f"no answer within {seconds:g} s", Blame.UNKNOWN, is_overload=True) from None
        except httpx.HTTPError as error:
            raise AttemptFailed(f"the connection broke ({type(error).__name__})", Blame.UNKNOWN) from None
        return _read(answer)

    async def is_there(self, connections: httpx.AsyncClient) -> bool:
        """Whether the server itself answers, and not only a proxy in front of it."""
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                answer = await connections.get("models")
        except (TimeoutError, httpx.HTTPError):
            return False
        return answer.status_code not in _OVERLOADED | _UNREACHABLE


def _read(answer: httpx.Response) -> Any:
    status = answer.status_code
    said = f"the server answered {status}"
    if status in _OVERLOADED:
        seconds = parse_retry_after(answer.headers.raw) or 0.0
        raise AttemptFailed(said, Blame.SERVER, is_overload=True, retry_after=seconds)
    if status in _UNREACHABLE:
        raise AttemptFailed(said, Blame.SERVER)
    if status in _MISCONFIGURED:
        raise AttemptFailed(f"{said}: see the model's url, model and key_variable", Blame.SERVER, may_pass=False)
    if status != httpx.codes.OK:
        raise AttemptFailed(said, Blame.REQUEST, may_pass=status in _TEMPORARY)
    try:
        return answer.json()
    except ValueError:
        raise AttemptFailed("the server's answer is no JSON", Blame.REQUEST, may_pass=False) from None
