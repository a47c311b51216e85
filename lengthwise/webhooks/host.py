"""Brings a host into one notation, so that what is checked is what is dialled.

Resolvers read ``0x7f.1``, ``2130706433`` and ``017700000001`` as 127.0.0.1. Such notations are refused here and never
interpreted. Knows nothing of URLs. No error here holds any part of the host.
"""

import ipaddress
import re

import idna

MAX_NAME_CHARACTERS = 253

#: Host names have no underscore, but names of containers do, and DNS allows it.
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
#: If the last label matches, the whole name is read as an IPv4 address (WHATWG URL, "ends in a number").
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def canonical_ipv6(text: str) -> str:
    """The canonical form of an IPv6 address without brackets and zone. Raises ``ValueError``."""
    try:
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        raise ValueError("must have a valid IPv6 address in its brackets") from None


def canonical_host(text: str) -> str:
    """A name in lower-case ASCII (IDNA 2008, UTS 46) without a final dot, or an IPv4 address as it is.

    Raises ``ValueError`` if it is neither, or an IPv4 address that is not four decimal numbers in ASCII.
    """
    name = (text.lower() if text.isascii() else _to_ascii(text)).removesuffix(".")
    labels = name.split(".")
    if len(name) > MAX_NAME_CHARACTERS or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("must have a host that is a valid name")
    if not _NUMBER.fullmatch(labels[-1]):
        return name
    try:
        return str(ipaddress.IPv4Address(text.removesuffix(".")))
    except ValueError:
        raise ValueError("must have an IPv4 address as four decimal numbers in ASCII") from None


def _to_ascii(name: str) -> str:
    try:
        # The length is checked before idna is called, whose work grows faster than its input.
        return idna.encode(name, uts46=True).decode("ascii") if len(name) <= MAX_NAME_CHARACTERS else ""
    except idna.IDNAError:
        raise ValueError("must have a host that is a valid name") from None
