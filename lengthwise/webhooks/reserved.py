"""A table of the addresses that no webhook may reach.

``ipaddress.is_global`` does not suffice: it is true for multicast, NAT64 and ``::127.0.0.1``, and changes between
releases of Python. Addresses that contain an IPv4 address (mapped, compatible, translated, NAT64, 6to4, Teredo) are
all refused, because a gateway that this program cannot see decides what they reach.

Sources: IANA's special-purpose address registries for IPv4 and IPv6, its registries of address space and multicast, and
the documents named in each row.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import NamedTuple

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class ReservedNetwork(NamedTuple):
    """A network that no webhook may reach, its purpose, and the document that reserves it."""

    network: Network
    purpose: str
    source: str


RESERVED: tuple[ReservedNetwork, ...] = tuple(
    ReservedNetwork(ip_network(network), purpose, source)
    for network, purpose, source in (
        ("0.0.0.0/8", "this host and this network", "RFC 791, RFC 1122 §3.2.1.3"),
        ("10.0.0.0/8", "private use", "RFC 1918"),
        ("100.64.0.0/10", "carrier-grade NAT; Alibaba Cloud's metadata 100.100.100.200", "RFC 6598"),
        ("127.0.0.0/8", "loopback", "RFC 1122 §3.2.1.3"),
        (
            "168.63.129.16/32",
            "Azure's platform address, host-local though numbered publicly",
            "Microsoft Azure",
        ),
        ("169.254.0.0/16", "link-local; the clouds' metadata 169.254.169.254", "RFC 3927"),
        ("172.16.0.0/12", "private use", "RFC 1918"),
        ("192.0.0.0/24", "protocol assignments; Oracle Cloud's metadata 192.0.0.192", "RFC 6890"),
        ("192.0.2.0/24", "documentation", "RFC 5737"),
        ("192.31.196.0/24", "AS112 sink, version 4", "RFC 7535"),
        ("192.52.193.0/24", "multicast tunnel relays", "RFC 7450"),
        ("192.88.99.0/24", "6to4 relays, deprecated", "RFC 7526"),
        ("192.168.0.0/16", "private use", "RFC 1918"),
        ("192.175.48.0/24", "AS112 sink", "RFC 7534"),
        ("198.18.0.0/15", "benchmarking", "RFC 2544"),
        ("198.51.100.0/24", "documentation", "RFC 5737"),
        ("203.0.113.0/24", "documentation", "RFC 5737"),
        ("224.0.0.0/4", "multicast", "RFC 5771"),
        ("240.0.0.0/4", "reserved", "RFC 1112 §4"),
        ("255.255.255.255/32", "limited broadcast", "RFC 919 §7, RFC 8190"),
        ("::/128", "unspecified", "RFC 4291 §2.5.2"),
        ("::1/128", "loopback", "RFC 4291 §2.5.3"),
        ("::/96", "IPv4-compatible, deprecated", "RFC 4291 §2.5.5.1"),
        ("::ffff:0:0/96", "IPv4-mapped", "RFC 4291 §2.5.5.2"),
        ("::ffff:0:0:0/96", "IPv4-translated", "RFC 2765 §2.1"),
        ("64:ff9b::/96", "NAT64, the well-known prefix", "RFC 6052 §2.1"),
        ("64:ff9b:1::/48", "NAT64, local use", "RFC 8215"),
        ("100::/64", "discard only", "RFC 6666"),
        ("100:0:0:1::/64", "dummy prefix", "RFC 9780"),
        ("2001::/32", "Teredo", "RFC 4380"),
        ("2001:2::/48", "benchmarking", "RFC 5180 §8"),
        ("2001:10::/28", "ORCHID, deprecated", "RFC 4843"),
        ("2001:20::/28", "ORCHID version 2", "RFC 7343"),
        ("2001:30::/28", "drone remote id", "RFC 9374"),
        ("2001::/23", "protocol assignments, those above and the rest", "RFC 2928"),
        ("2001:db8::/32", "documentation", "RFC 3849"),
        ("2002::/16", "6to4", "RFC 3056"),
        ("2620:4f:8000::/48", "AS112 sink", "RFC 7534"),
        ("3ffe::/16", "6bone, returned", "RFC 3701"),
        ("3fff::/20", "documentation", "RFC 9637"),
        ("5f00::/16", "segment routing ids", "RFC 9602"),
        ("fc00::/7", "unique local; Amazon's metadata fd00:ec2::254", "RFC 4193"),
        ("fe80::/10", "link-local", "RFC 4291 §2.5.6"),
        ("fec0::/10", "site-local, deprecated", "RFC 3879"),
        ("ff00::/8", "multicast", "RFC 4291 §2.7"),
        # Only 2000::/3 is global unicast. These three are the rest.
        ("::/3", "outside global unicast", "RFC 4291 §2.4, IANA IPv6 address space"),
        ("4000::/2", "outside global unicast", "RFC 4291 §2.4, IANA IPv6 address space"),
        ("8000::/1", "outside global unicast", "RFC 4291 §2.4, IANA IPv6 address space"),
    )
)


def is_public(address: Address) -> bool:
    """Whether ``address`` is an ordinary address of the public Internet, that is in no row of ``RESERVED``."""
    return not any(address in row.network for row in RESERVED)
