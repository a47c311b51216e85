"""Parses a webhook's URL strictly, and finds the addresses at which it may be dialled.

The API checks a URL at submission, so that the caller gets a 422 for a bad one. The worker checks again at every dial,
because names may get other addresses. Knows nothing of HTTP, signatures or jobs. No error here holds any part of the
URL.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from lengthwise.errors import InvalidInput
from lengthwise.webhooks import lookup
from lengthwise.webhooks.host import canonical_host, canonical_ipv6
from lengthwise.webhooks.lookup import Unresolvable
from lengthwise.webhooks.reserved import Address, Network, is_public

__all__ = ["ForbiddenAddress", "Target", "Unresolvable", "is_public", "parse", "require_allowed", "resolve"]

FIELD = "webhook.url"
MAX_URL_CHARACTERS = 2_000
DEFAULT_PORTS = {"http": 80, "https": 443}

#: re.ASCII is needed: without it, ignoring case would accept U+017F for the s of https.
_URL = re.compile(r"(https?)://([^/?]+)((?:/[^?]*)?(?:\?.*)?)", re.ASCII | re.IGNORECASE)
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]+))(?::([0-9]{1,5}))?")
#: The characters of a path and a query in RFC 3986, and brackets, which query strings often contain.
_PATH = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@%/?\[\]]*")


class ForbiddenAddress(InvalidInput):
    """The host, or one of the addresses of its name, is not on the public Internet."""

    def __init__(self) -> None:
        super().__init__("webhook.url must be on the public Internet", field=FIELD)


@dataclass(frozen=True)
class Target:
    """A parsed and normalised URL. Its repr shows neither host nor path, which belong to the customer."""

    #: ``http`` or ``https``.
    scheme: str
    #: A lower-case ASCII name without a final dot, or an address in its canonical form without brackets.
    host: str = field(repr=False)
    port: int
    #: Path and query, ASCII, beginning with a slash.
    path: str = field(repr=False)

    @property
    def authority(self) -> str:
        """The value of a Host header: an IPv6 address in brackets, and the port unless it is the scheme's default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


def parse(url: str) -> Target:
    """Parses ``url``.

    Raises ``InvalidInput`` for a URL of more than 2,000 characters, a scheme other than http and https, user
    information, a fragment, spaces or control characters, a host that is neither a name nor a canonical address, or a
    bad port.
    """
    if len(url) > MAX_URL_CHARACTERS:
        raise _invalid(f"must have at most {MAX_URL_CHARACTERS:,} characters")
    if any(character <= " " or character == "\x7f" for character in url):
        raise _invalid("must have no spaces and no control characters")
    if "#" in url:
        raise _invalid("must have no fragment")
    if not (parts := _URL.fullmatch(url)):
        raise _invalid("must begin with http:// or https:// and a host")
    scheme, authority, rest = parts[1].lower(), parts[2], parts[3]
    if "@" in authority:
        raise _invalid("must have no user name or password")
    if not (place := _AUTHORITY.fullmatch(authority)):
        raise _invalid("must have a host that is a name or an address, and a port that is a number")
    if not _PATH.fullmatch(rest):
        raise _invalid("must have every other character of its path and query percent-encoded")
    port = int(place[3]) if place[3] else DEFAULT_PORTS[scheme]
    if not 1 <= port <= 65_535:
        raise _invalid("must have a port from 1 to 65535")
    try:
        host = canonical_ipv6(place[1]) if place[1] else canonical_host(place[2])
    except ValueError as error:
        raise _invalid(str(error)) from None
    return Target(scheme, host, port, rest if rest.startswith("/") else f"/{rest}")


def resolve(host: str, allowed: Sequence[Network], timeout: float = 5.0) -> list[Address]:
    """The addresses at which ``host`` may be dialled, in the resolver's order. Takes ``timeout`` seconds at most.

    Raises ``ForbiddenAddress`` if any of them is neither public nor in ``allowed``, and ``Unresolvable`` if there is
    none in time.
    """
    until = monotonic() + max(timeout, 0)
    if (address := lookup.literal(host)) is not None:
        addresses = [address]
    else:
        try:
            addresses = lookup.begin(host, max(timeout, 0)).result(max(until - monotonic(), 0))
        except TimeoutError:
            raise Unresolvable from None
    require_allowed(addresses, allowed)
    return addresses


def require_allowed(addresses: Sequence[Address], allowed: Sequence[Network]) -> None:
    """Raises ``ForbiddenAddress``. One forbidden address refuses all: both kinds are an attack or a mistake."""
    if not all(is_public(address) or any(address in network for network in allowed) for address in addresses):
        raise ForbiddenAddress


def _invalid(what: str) -> InvalidInput:
    return InvalidInput(f"webhook.url {what}", field=FIELD)
