"""The API's URL and key: from arguments, or else from LENGTHWISE_URL and LENGTHWISE_API_KEY.

These two variables belong to the caller. ``lengthwise.settings``, which configures a server, does not read them.
"""

import os
import re
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import httpx

from lengthwise.client._effect import HttpRequest
from lengthwise.client._error import UnreachableError
from lengthwise.errors import ConfigurationError

URL_VARIABLE = "LENGTHWISE_URL"
KEY_VARIABLE = "LENGTHWISE_API_KEY"
DEFAULT_URL = "http://127.0.0.1:8000"

#: Time for the first byte of an answer, and for a connection.
_SECONDS = 30.0
_CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Address:
    url: str
    key: str | None = field(repr=False)

    @classmethod
    def of(cls, url: str | None, key: str | None) -> "Address":
        """Raises ``ConfigurationError``, whose message shows neither the URL nor the key."""
        found = url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
        try:
            parsed = httpx.URL(found)
        except (httpx.InvalidURL, TypeError):
            parsed = httpx.URL("")
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ConfigurationError(f"the API's URL ({URL_VARIABLE}) must be one such as {DEFAULT_URL}")
        found_key = (key or os.environ.get(KEY_VARIABLE) or "").strip() or None
        if found_key and not re.fullmatch(r"[\x21-\x7e]+", found_key):
            raise ConfigurationError(f"the API key ({KEY_VARIABLE}) must have visible ASCII characters only")
        return cls(found.rstrip("/"), found_key)

    @property
    def headers(self) -> dict[str, str]:
        agent = {"user-agent": f"lengthwise/{version('lengthwise')}"}
        return agent | ({"authorization": f"Bearer {self.key}"} if self.key else {})


def request_arguments(where: Address, request: HttpRequest) -> dict[str, Any]:
    """The arguments of httpx's ``build_request``, without the body."""
    seconds = httpx.Timeout(_SECONDS, read=_SECONDS + request.wait_seconds, connect=_CONNECT_SECONDS)
    return {
        "method": request.method,
        "url": where.url + request.path,
        "params": dict(request.query),
        "headers": where.headers | dict(request.headers),
        "timeout": seconds,
    }


def unreachable(error: Exception) -> UnreachableError:
    """Says what httpx reported, but not the URL: it may hold a password."""
    why = f" ({error})" if isinstance(error, httpx.ConnectError) else ""
    return UnreachableError(f"no complete answer: {type(error).__name__}{why}")
