"""The attacks. Each stands for a kind: something small that is compiled, expanded, resolved or evaluated for long."""

import gzip
import io
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import zstandard

from tests.hostile.attacker import Attacker
from tests.hostile.verdict import CANARY

Attack = Callable[[Attacker], None]

NDJSON = {"content-type": "application/x-ndjson"}
GENERATE = {"kind": "generate", "model": "echo"}
MESSAGES = [{"role": "user", "content": CANARY}]


def chain(levels: int, word: str, **leaf: Any) -> dict[str, Any]:
    """A schema in which each level refers twice to the next one: 2 to the power of ``levels`` when it is expanded."""
    definitions: dict[str, Any] = {f"d{levels}": {"type": "object", **leaf}}
    for level in range(levels):
        definitions[f"d{level}"] = {word: [{"$ref": f"#/$defs/d{level + 1}"}] * 2}
    return {"$ref": "#/$defs/d0", "$defs": definitions}


def schemas() -> Iterator[dict[str, Any]]:
    for word in ("allOf", "anyOf", "oneOf"):
        for levels in (17, 25, 45):
            yield chain(levels, word)
            yield chain(levels, word) | {"unevaluatedProperties": False}
            yield {"type": "object", "properties": {CANARY: chain(levels, word)}, "unevaluatedItems": False}
    nested: dict[str, Any] = {"type": "string"}
    for _ in range(150):
        nested = {"type": "object", "properties": {"a": nested}, "patternProperties": {"^(a+)+$": nested}}
        if len(json.dumps(nested)) > 60_000:
            break
    yield nested
    yield {"type": "string", "pattern": "(((a{900}){900}){900}){900}"}
    yield {"type": "string", "pattern": "(a|a)*" * 900}
    yield {"type": "array", "uniqueItems": True, "minItems": 2**31}
    yield {"enum": [f"{CANARY}{number}" for number in range(3_000)]}
    yield {"$ref": "#"}
    yield {"$dynamicRef": "#x", "$dynamicAnchor": "x", "anyOf": [{"$dynamicRef": "#x"}] * 900}
    yield {"$id": "http://127.0.0.1:1/x", "$ref": "y"}
    yield {"allOf": [{"not": {"anyOf": [{"const": number} for number in range(900)]}}] * 30}
    yield {"dependentSchemas": {CANARY: chain(30, "allOf")}, "if": chain(30, "anyOf"), "then": chain(30, "oneOf")}
    yield {"properties": {f"{CANARY}{number}": {"format": "regex"} for number in range(1_500)}}
    yield {"type": "number", "multipleOf": 1e-308, "maximum": 1.7e308}


def json_schemas(attacker: Attacker) -> None:
    for schema in schemas():
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        body = {"model": "echo", "messages": MESSAGES, "max_tokens": 4, "response_format": form}
        attacker.send("POST", "/v1/chat/completions", json=body)
        attacker.batch(attacker.line(body))
        text = {"format": {"type": "json_schema", "name": "x", "schema": schema}}
        attacker.send("POST", "/v1/responses", json={"model": "echo", "input": CANARY, "text": text})


def schema_batches(attacker: Attacker) -> None:
    lines = []
    for number, schema in enumerate(schemas()):
        form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
        body = {"model": "echo", "messages": MESSAGES, "max_tokens": 4, "response_format": form}
        lines += [attacker.line(body, custom_id=f"{number}-{copy}") for copy in range(30)]
    attacker.batch(b"".join(lines))


def headers(attacker: Attacker) -> None:
    start = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
    name = CANARY.encode()
    for count in (200, 2_000, 100_000):
        attacker.raw(start, b"".join(b"%s-%d: x\r\n" % (name, number) for number in range(count)), b"\r\n")
        attacker.raw(start, b"Cookie: x\r\n" * count, b"\r\n")
    for size in (2**14, 2**20, 2**26):
        attacker.raw(start, b"X: ", name * (size // len(name)), b"\r\n\r\n")
        attacker.raw(start, name * (size // len(name)), b": x\r\n\r\n")
        attacker.raw(b"GET /", name * (size // len(name)), b" HTTP/1.1\r\nHost: x\r\n\r\n")
    for junk in (b"\x00" * 1000, b"\x16\x03\x01" * 300, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"):
        attacker.raw(junk)


def endless_headers(attacker: Attacker) -> None:
    """Sends headers for as long as they are read. What comes after the limit may be read, but is not kept."""
    for _ in range(5):
        with attacker.connect() as connection:
            line = b"X-" + CANARY.encode() + b": " + b"x" * 900 + b"\r\n"
            sent, size = 0, 60 * 2**20
            try:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
                while sent < size:
                    connection.sendall(line * 64)
                    sent += 64 * len(line)
            except OSError:
                pass
            if attacker.status(connection) not in (0, 431):
                attacker.outcome.problem("endless headers were answered as if they had an end")


def half_sent(attacker: Attacker) -> None:
    """Many connections that never finish their request, of several kinds."""
    authorization = f"Authorization: Bearer {attacker.installation.key}\r\n".encode()
    begun = [
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"",
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 90000\r\n"
        + authorization + b"\r\n{",
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + authorization + b"\r\n5\r\nabc",
    ]  # fmt: skip
    connections: list[socket.socket] = []
    for number in range(420):
        try:
            connection = attacker.connect()
            connection.sendall(begun[number % len(begun)])
            connections.append(connection)
        except OSError:  # refused: that is a limit, too
            attacker.outcome.saw(0)
    ends_at = time.monotonic() + 75
    open_ones = connections
    while open_ones and time.monotonic() < ends_at:
        time.sleep(1)
        open_ones = [each for each in open_ones if _is_open(each)]
        for each in open_ones[::2]:  # half of them drip
            try:
                each.send(b"x")
            except OSError:
                continue
    if open_ones:
        attacker.outcome.problem(f"{len(open_ones)} of 420 half-sent requests were kept for 75 s")
    for each in connections:
        each.close()
        attacker.outcome.saw(0)


def _is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        while found := connection.recv(65536):
            del found
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def trailers(attacker: Attacker) -> None:
    """A key or another header in the trailer of a chunked body must not count."""
    body = json.dumps(GENERATE | {"items": ["a"]}).encode()
    chunk = b"%x\r\n%s\r\n0\r\n" % (len(body), body)
    start = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    key = f"Authorization: Bearer {attacker.installation.key}\r\n".encode()
    if attacker.raw(start + b"\r\n" + chunk + key + b"Connection: close\r\n\r\n") not in (0, 400, 401):
        attacker.outcome.problem("a key in a trailer was accepted")
    attacker.raw(start + key + b"\r\n" + chunk + b"X-Trailer: x\r\n" * 100_000 + b"\r\n")
    for conflict in (
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999999\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    ):
        attacker.raw(
            b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            + key
            + conflict
            + b"\r\n5\r\nabcde\r\n0\r\n\r\n"
        )


def compressed(attacker: Attacker) -> None:
    zeros, spaces = b"\x00" * 2**20, b" " * 2**20
    packed = zstandard.ZstdCompressor(level=19).compress
    frames = struct.pack("<II", 0x184D2A50, 0) * 300_000  # skippable ones
    bombs = {
        "gzip": [gzip.compress(zeros) * 1_100, gzip.compress(b"") * 100_000, gzip.compress(spaces * 64), b"\x1f\x8b"],
        "zstd": [packed(zeros) * 1_100, packed(b"") * 300_000, packed(spaces * 64), frames],
    }
    for encoding, bodies in bombs.items():
        for body in bodies:
            for form in ("application/x-ndjson", "application/json", "text/csv"):
                sent = {"content-encoding": encoding, "content-type": form}
                attacker.refused("POST", "/v1/jobs", content=body, headers=sent)


def bodies(attacker: Attacker) -> None:
    head = json.dumps(GENERATE).encode()
    deep = [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 199 + b"]" * 199, b'{"items":' + b"[" * 10**6]
    numbers = [b"1" * 10**6, b"1e" + b"9" * 10**5, b"-" * 10**5, b"1e999", b"NaN", b"0." + b"0" * 10**6 + b"1"]
    for value in (*deep, *numbers, b'"' + b"\\u0000" * 10**5 + b'"', b'"\\ud800"', b"\xff" * 10**6, b"{" * 10**6):
        attacker.refused("POST", "/v1/jobs", content=value, headers={"content-type": "application/json"})
        attacker.refused("POST", "/v1/jobs", content=head + b"\n" + value, headers=NDJSON)
    names = b"{" + b",".join(b'"%s%d":1' % (CANARY.encode(), number) for number in range(200_000)) + b"}"
    attacker.refused("POST", "/v1/jobs", content=names, headers={"content-type": "application/json"})
    for blank in (b"\r", b"\n", b"\r\n", b" \n", b"\xef\xbb\xbf\n"):
        attacker.refused("POST", "/v1/jobs", content=blank * (2**25 // len(blank)), headers=NDJSON)
        attacker.refused("POST", "/v1/jobs", content=head + b"\n" + blank * (2**25 // len(blank)), headers=NDJSON)


def tables(attacker: Attacker) -> None:
    wanted = {"lengthwise-job": json.dumps(GENERATE), "content-type": "text/csv"}
    name = CANARY.encode()
    for body in (
        b"text\n" + b'"' + b"x" * 2**22,
        b"," * 2**20 + b"\n",
        b"\r" * 2**24,
        b"text\r" * 2**20,
        b";".join([name] * 100_000) + b"\n" + b";" * 99_999 + b"\n",
        b"text\n" + b'""' * 2**20 + b"\n",
        b"text,\n" + b"a,\n" * 300_000 + b'"' * 1_001,
        b"\xef\xbb\xbf" * 2**18,
        b"\x00\xff" * 2**18,
    ):
        attacker.send("POST", "/v1/jobs", content=body, headers=wanted)
    for body in parquet_bombs():
        attacker.refused(
            "POST", "/v1/jobs", content=body, headers=wanted | {"content-type": "application/vnd.apache.parquet"}
        )


def parquet_bombs() -> Iterator[bytes]:
    """Small files of few distinct values that become gigabytes, and damaged ones."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def written(table: Any, **options: Any) -> bytes:
        out = io.BytesIO()
        pq.write_table(table, out, compression="zstd", **options)
        return out.getvalue()

    long = "x" * 100_000
    dictionary = pa.DictionaryArray.from_arrays(pa.array([0] * 40_000, pa.int32()), pa.array([long]))
    yield written(pa.table({"text": dictionary}))
    yield written(pa.table({"text": ["a"] * 1000, "other": pa.DictionaryArray.from_arrays([0] * 1000, [long * 30])}))
    yield written(pa.table({"text": ["a"], "nested": [[[0] * 1000] * 20_000]}))
    yield written(pa.table({"text": pa.nulls(50_000_000, pa.string())}))
    good = written(pa.table({"text": ["a", "b"] * 500}))
    yield from (good[:size] for size in (4, 8, len(good) // 2, len(good) - 1))
    yield good[:-8] + struct.pack("<I", 2**31 - 1) + b"PAR1"
    yield b"PAR1" + b"\x00" * 2**20 + b"PAR1"


def moderation(attacker: Attacker) -> None:
    for text in (
        "<a x='" * 15_000,
        "<" * 90_000,
        "&#x" * 30_000,
        "&" * 90_000,
        "<!--" * 22_000,
        "<style>" * 12_000,
        "\u202e" * 90_000,
        "a\u0300" * 45_000,
        "`" * 90_000,
        "[" * 90_000,
        "](" * 45_000,
        "<svg><style>" * 7_000,
        "ﷺ" * 90_000,
    ):
        for form in ("html", "markdown", "text"):
            items = [text[:100_000]] * 10
            attacker.send("POST", "/v1/jobs", json={"kind": "moderate", "items": items, "format": form})
            wanted = {"kind": "translate", "source": "en", "target": "de", "format": form, "items": items[:3]}
            attacker.send("POST", "/v1/jobs", json=wanted)


def webhooks(attacker: Attacker) -> None:
    names = ["xn--" + "a" * 59, *(f"{CANARY.lower()}{number}.invalid" for number in range(160))]
    for host in names:
        hook = {"url": f"https://{host}/"}
        # If the name server is silent, the job is accepted, and the deliveries check the host.
        attacker.send("POST", "/v1/jobs", json=GENERATE | {"items": ["a"], "webhook": hook}, allowed={202, 422})
    for host in (
        "127.0.0.1",
        "localhost",
        "[::1]",
        "0x7f.1",
        "169.254.169.254",
        "a" * 250,
        "." * 50,
    ):
        attacker.refused("POST", "/v1/jobs", json=GENERATE | {"items": ["a"], "webhook": {"url": f"https://{host}/"}})
    for condition in (
        "(" * 5_000,
        "a" * 50_000,
        " or ".join(["a == 1"] * 5_000),
        "not " * 5_000 + "a",
        '"' + "\\" * 9_999,
    ):
        endpoint: dict[str, Any] = {"url": "https://8.8.8.8/", "events": ["item.*"], "where": condition}
        attacker.refused("POST", "/v1/webhook-endpoints", json=endpoint)


def chats(attacker: Attacker) -> None:
    asked: tuple[dict[str, Any], ...] = (
        {"messages": [{"role": "user", "content": ""}] * 20_000},
        {"messages": MESSAGES * 3_000},
        {"messages": MESSAGES, "stop": ["a" * 60] * 4, "max_tokens": 2**31},
        {"messages": MESSAGES, "logit_bias": {str(number): 1 for number in range(50_000)}},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "{{ 9**9**9 }}"}] * 256}]},
        {"messages": [{"role": "{% for a in range(9**9) %}{% endfor %}", "content": "a"}]},
        {
            "messages": MESSAGES,
            "tools": [{"type": "function", "function": {"name": "a", "parameters": chain(40, "allOf")}}],
        },
    )
    for body in asked:
        attacker.send("POST", "/v1/chat/completions", json={"model": "echo"} | body)


def uploads(attacker: Attacker) -> None:
    def multipart(parts: bytes) -> None:
        sent = {"content-type": "multipart/form-data; boundary=x"}
        attacker.refused("POST", "/v1/files", content=parts, headers=sent)

    part = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\na\r\n'
    multipart(b"".join(part % (b"%s%d" % (CANARY.encode(), number)) for number in range(50_000)))
    multipart(b"--x\r\n" + b"X: y\r\n" * 300_000)
    multipart(b'--x\r\nContent-Disposition: form-data; name="' + b"a" * 2**22)
    multipart(b"--x" * 10**6)
    multipart(b"\r\n" * 2**22)
    attacker.refused(
        "POST", "/v1/files", content=b"--", headers={"content-type": f"multipart/form-data; boundary={'x' * 6000}"}
    )
    attacker.batch(b"\r\n" * 2**22)
    attacker.batch(b"{" * 2**20 + b"\n" + b"[" * 2**20)
    attacker.batch(b'{"custom_id":"a"}\n' * 50_000)


def paths(attacker: Attacker) -> None:
    key = f"Authorization: Bearer {attacker.installation.key}"
    for path in (
        "/v1/jobs/" + "a" * 5_000,
        "/v1/jobs/%00",
        "/" + "../" * 900,
        "/v1/files/" + "%25" * 900,
        "//" * 900,
        "*",
    ):
        for method in ("GET", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", CANARY):
            attacker.raw(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{key}\r\nConnection: close\r\n\r\n".encode())
    for query in (
        "after=" + "9" * 4_000,
        "limit=" + "9" * 4_000,
        "wait=1e308",
        "after=%00",
        "format=" + CANARY,
        "&" * 4_000,
    ):
        attacker.send("GET", f"/v1/jobs?{query}")
        attacker.send("GET", f"/v1/files?{query}")
        attacker.send("GET", f"/v1/usage?{query}")


ATTACKS: dict[str, Attack] = {
    "JSON schemas": json_schemas,
    "batches of JSON schemas": schema_batches,
    "headers": headers,
    "endless headers": endless_headers,
    "half-sent requests": half_sent,
    "trailers and smuggling": trailers,
    "compressed bodies": compressed,
    "JSON and lines": bodies,
    "tables": tables,
    "texts to moderate and translate": moderation,
    "webhooks": webhooks,
    "chats": chats,
    "uploads": uploads,
    "paths and parameters": paths,
}
