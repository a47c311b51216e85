"""URLs of webhooks and the addresses that they may reach, in every notation that attackers use."""

import ipaddress
import socket
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lengthwise.errors import InvalidInput
from lengthwise.webhooks.reserved import RESERVED
from lengthwise.webhooks.target import ForbiddenAddress, Target, Unresolvable, is_public, parse, resolve

LOOPBACK = (ip_network("127.0.0.0/8"),)


class NamedResolver:
    """A fake resolver: each lookup of a name takes its next answer, and the last one again."""

    def __init__(self) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []

    def getaddrinfo(self, host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        if host not in self.answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        turns = self.answers[host]
        found = turns.pop(0) if len(turns) > 1 else turns[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> NamedResolver:
    stub = NamedResolver()
    monkeypatch.setattr(socket, "getaddrinfo", stub.getaddrinfo)
    return stub


@pytest.mark.parametrize(
    ("url", "target", "authority"),
    [
        ("https://example.com", Target("https", "example.com", 443, "/"), "example.com"),
        ("HTTP://EXAMPLE.com:80/A?b=c", Target("http", "example.com", 80, "/A?b=c"), "example.com"),
        ("https://example.com?b", Target("https", "example.com", 443, "/?b"), "example.com"),
        ("https://example.com?a=//b@c:d", Target("https", "example.com", 443, "/?a=//b@c:d"), "example.com"),
        ("https://example.com:8443/", Target("https", "example.com", 8443, "/"), "example.com:8443"),
        ("https://example.com./x", Target("https", "example.com", 443, "/x"), "example.com"),
        ("http://my_receiver:8080/hook", Target("http", "my_receiver", 8080, "/hook"), "my_receiver:8080"),
        (
            "https://BÜCHER.example/",
            Target("https", "xn--bcher-kva.example", 443, "/"),
            "xn--bcher-kva.example",
        ),
        ("https://faß.example/", Target("https", "xn--fa-hia.example", 443, "/"), "xn--fa-hia.example"),
        (
            "https://例え。テスト/",
            Target("https", "xn--r8jz45g.xn--zckzah", 443, "/"),
            "xn--r8jz45g.xn--zckzah",
        ),
        ("https://8.8.8.8./", Target("https", "8.8.8.8", 443, "/"), "8.8.8.8"),
        ("http://[2606:4700:0::1]:81/", Target("http", "2606:4700::1", 81, "/"), "[2606:4700::1]:81"),
        ("https://[2606:4700::1]/", Target("https", "2606:4700::1", 443, "/"), "[2606:4700::1]"),
        (
            "https://example.com/a%20b?c[]=%2F",
            Target("https", "example.com", 443, "/a%20b?c[]=%2F"),
            "example.com",
        ),
    ],
)
def test_a_url_is_parsed_and_normalised(url: str, target: Target, authority: str) -> None:
    assert parse(url) == target
    assert target.authority == authority


@pytest.mark.parametrize(
    "url",
    [
        # Notations of 127.0.0.1 that resolvers accept.
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0X7F.1/",
        "http://127.1/",
        "http://127.0.1/",
        "http://0/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://0127.0.0.1/",
        "http://127.0.0.01/",
        "http://127.0.0.0x1/",
        "http://127.0.0.1.1/",
        "http://1.2.3.256/",
        "http://example.123/",
        "http://example.0x/",
        "http://2130706433./",
        "http://１２７.0.0.1/",
        "http://127。0。0。1/",
        "http://①②⑦.⓪.⓪.①/",
        "http://١٢٧.0.0.1/",
        "http://%31%32%37.0.0.1/",
        "http://127.0.0.%31/",
        "http://loc%61lhost/",
        # IPv6.
        "http://[::1%25lo]/",
        "http://[fe80::1%eth0]/",
        "http://[::1/",
        "http://::1/",
        "http://[]/",
        "http://[1.2.3.4]/",
        "http://[v1.x]/",
        "http://[::ffff:0177.0.0.1]/",
        "http://[::1].example.com/",
        "http://[1::2::3]/",
        # User information, and other ways to name one host and reach another.
        "http://example.com@127.0.0.1/",
        "http://user:password@example.com/",
        "http://@example.com/",
        "http://example.com:80@127.0.0.1:81/",
        "http://127.0.0.1#@example.com/",
        "http://example.com#fragment",
        "http://example.com/#",
        "http://127.0.0.1\\@example.com/",
        "http://example.com\\.evil.example/",
        "http:\\\\127.0.0.1/",
        "http:/127.0.0.1/",
        "http:127.0.0.1",
        "http:///127.0.0.1/",
        "//127.0.0.1/",
        # Schemes.
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "unix:///var/run/docker.sock",
        "httpſ://example.com/",
        "ws://example.com/",
        "",
        "example.com",
        "https://",
        # Characters.
        " https://example.com/",
        "https://example.com/ ",
        "https://example.com/a b",
        "https://exa\tmple.com/",
        "https://example.com/\r\nHost: x",
        "https://example.com/\n",
        "https://example.com\n",
        "https://example.com\x00.evil.example/",
        "https://example.com/\x7f",
        "https://example.com/é",
        "https://example.com/\u2028",
        "https://example.com/\ud800",
        "https://\ud800.example/",
        'https://example.com/"',
        "https://example.com/<x>",
        "https://example.com/{x}",
        # Hosts and ports.
        "https://.example.com/",
        "https://example..com/",
        "https://example.com../",
        "https://./",
        "https://-example.com/",
        "https://example-.com/",
        "https://exam!ple.com/",
        "https://a,b/",
        f"https://{'a' * 64}.example/",
        f"https://{'a.' * 127}example/",
        f"https://{'é' * 300}/",
        "https://xn--é.example/",
        "https://example.com:/",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:-1/",
        "https://example.com:+80/",
        "https://example.com:٨٠/",
        "https://example.com:80:80/",
        "https://example.com/" + "a" * 2_000,
    ],
)
def test_an_odd_url_is_refused_and_never_repeated(url: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse(url)
    assert refusal.value.field == "webhook.url"
    assert refusal.value.__cause__ is None
    assert not any(secret in str(refusal.value) for secret in ("127", "example", "passwd", "213", "::"))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://user:password@example.com/", "user name"),
        ("https://example.com/#fragment", "fragment"),
        ("ftp://example.com/", "http://"),
        ("https://example.com:99999/", "port"),
        ("https://0x7f.1/", "four decimal numbers"),
    ],
)
def test_a_refusal_says_what_is_wrong(url: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        parse(url)


def test_neither_the_host_nor_the_path_is_in_a_repr() -> None:
    assert "secret" not in repr(parse("https://secret.example/secret?secret"))


@given(st.text())
def test_parsing_raises_no_other_error_for_any_text(text: str) -> None:
    for url in (
        text,
        f"https://{text}",
        f"https://{text}.example/",
        f"https://[{text}]/",
        f"https://example.com/{text}",
    ):
        try:
            target = parse(url)
        except InvalidInput as refusal:
            assert refusal.field == "webhook.url"
        else:
            again = parse(f"{target.scheme}://{target.authority}{target.path}")
            assert again == target
            assert f"{target.host}{target.path}".isascii()


def spellings(address: IPv4Address) -> Iterator[str]:
    a, b, c, d = address.packed
    yield str(int(address))
    yield hex(int(address))
    yield f"0{int(address):o}"
    yield f"{a}.{int.from_bytes(bytes((b, c, d)))}"
    yield f"{a}.{b}.{c * 256 + d}"
    yield f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}"
    yield f"0{a:o}.0{b:o}.0{c:o}.0{d:o}"
    yield str(address).translate({ord(digit): 0xFF10 + int(digit) for digit in "0123456789"})
    yield str(address).replace(".", "。")
    yield "".join(f"%{ord(character):02x}" for character in str(address))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_has_one_spelling_only(address: IPv4Address) -> None:
    assert parse(f"http://{address}/").host == str(address)
    for spelling in spellings(address):
        with pytest.raises(InvalidInput):
            parse(f"http://{spelling}/")


@given(st.ip_addresses(v=6))
def test_every_spelling_of_an_ipv6_address_means_the_same(address: IPv6Address) -> None:
    assert {parse(f"http://[{text}]/").host for text in (str(address), address.exploded.upper())} == {str(address)}


def embedded(address: IPv4Address) -> Iterator[IPv6Address]:
    inner = int(address)
    for prefix in ("::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::", "64:ff9b:1::"):
        yield IPv6Address(int(IPv6Address(prefix)) | inner)
    yield IPv6Address(int(IPv6Address("2002::")) | inner << 80)
    yield IPv6Address(int(IPv6Address("2001::")) | (inner ^ 0xFFFFFFFF))
    yield IPv6Address(int(IPv6Address("2001::")) | inner << 64)


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_inside_an_ipv6_one_is_never_public(address: IPv4Address) -> None:
    assert not any(is_public(outer) for outer in embedded(address))


@pytest.mark.parametrize("row", RESERVED, ids=str)
def test_each_row_of_the_table_is_refused_from_its_first_to_its_last_address(row: Any) -> None:
    assert not is_public(row.network[0])
    assert not is_public(row.network[-1])
    assert row.purpose
    assert row.source


@given(st.ip_addresses())
def test_addresses_that_the_standard_library_calls_special_are_never_public(address: IPv4Address | IPv6Address) -> None:
    special = not address.is_global or address.is_multicast or address.is_reserved or address.is_link_local
    assert not (special and is_public(address))


@given(st.integers(0, 2**125 - 1))
def test_no_ipv6_address_outside_global_unicast_is_public(low: int) -> None:
    for top in (0, 2, 3, 4, 5, 6, 7):
        assert not is_public(IPv6Address(top << 125 | low))


@pytest.mark.parametrize(
    "address",
    [
        *(
            "0.0.0.0",  # noqa: S104 - bound by nobody
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
        ),
        *("169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1"),
        *("192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1"),
        *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255"),
        *(
            "::",
            "::1",
            "::127.0.0.1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::ffff:0:127.0.0.1",
        ),
        *("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a9fe:a9fe", "100::1", "100:0:0:1::1"),
        *(
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:808:808::1",
        ),
        *(
            "3ffe::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fe80::a9fe:a9fe",
            "fec0::1",
        ),
        *("ff02::1", "ff0e::1", "4000::1", "fe00::1"),
    ],
)
def test_a_special_address_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *(
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
        ),
        *("128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0"),
        *("192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255"),
        *("2001:200::1", "2001:4860:4860::8888", "2003::1", "2606:4700:4700::1111", "2a00::1", "3ffd::1"),
    ],
)
def test_an_ordinary_address_is_public(address: str) -> None:
    assert is_public(ip_address(address))


def test_a_name_with_public_addresses_is_resolved_in_the_resolvers_order(names: NamedResolver) -> None:
    names.answers["example.com"] = [["2606:4700::1", "8.8.8.8", "2606:4700::1"]]
    assert resolve(parse("https://example.com").host, ()) == [ip_address("2606:4700::1"), ip_address("8.8.8.8")]
    assert names.asked == ["example.com"]


@pytest.mark.parametrize("bad", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:8.8.8.8", "fe80::1%eth0", "ff02::1"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_forbidden_address_refuses_the_name(names: NamedResolver, bad: str, place: int) -> None:
    answer = ["8.8.8.8", "2606:4700::1"]
    answer.insert(place, bad)
    names.answers["secret.example"] = [answer]
    with pytest.raises(ForbiddenAddress) as refusal:
        resolve(parse("https://secret.example").host, ())
    assert refusal.value.field == "webhook.url"
    assert "secret" not in str(refusal.value)
    assert bad not in str(refusal.value)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1.", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "10.0.0.1"]
)
def test_an_address_is_checked_without_a_lookup(names: NamedResolver, host: str) -> None:
    with pytest.raises(ForbiddenAddress):
        resolve(parse(f"http://{host}/").host, ())
    assert names.asked == []


def test_an_allowed_network_admits_only_its_own_addresses(names: NamedResolver) -> None:
    names.answers["localhost"] = [["127.0.0.1"], ["127.0.0.1", "::1"]]
    target = parse("http://localhost:8000/")
    assert resolve(target.host, LOOPBACK) == [ip_address("127.0.0.1")]
    with pytest.raises(ForbiddenAddress):
        resolve(target.host, LOOPBACK)
    with pytest.raises(ForbiddenAddress):
        resolve(parse("http://[::ffff:127.0.0.1]/").host, LOOPBACK)
    assert resolve(target.host, (*LOOPBACK, ip_network("::1/128"))) == [ip_address("127.0.0.1"), ip_address("::1")]


def test_a_name_without_addresses_is_unresolvable(names: NamedResolver) -> None:
    names.answers["empty.example"] = [[]]
    for host in ("empty.example", "missing.example"):
        with pytest.raises(Unresolvable) as failure:
            resolve(parse(f"https://{host}").host, ())
        assert host not in str(failure.value)


def test_a_name_server_that_never_answers_does_not_hold_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def getaddrinfo(*_: object, **__: object) -> list[object]:
        released.wait(60)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        with pytest.raises(Unresolvable):
            resolve(parse("https://example.com").host, (), timeout=0.05)
    finally:
        released.set()


def test_the_standard_library_alone_does_not_suffice() -> None:
    # These assertions explain why the table is explicit. If one fails some day, the table is still right.
    assert ipaddress.ip_address("ff0e::1").is_global
    assert not is_public(ip_address("ff0e::1"))
