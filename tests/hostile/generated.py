"""Requests without end, drawn from a seed: valid ones with something replaced, damaged, repeated or left out.

Cheap to make, since a million of them are wanted. What the OpenAPI document says is tested by Schemathesis, in
``described.py``.
"""

import gzip
import json
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

from tests.hostile.verdict import CANARY


class GeneratedRequest(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


_LINE = {"custom_id": "a", "method": "POST", "url": "/v1/completions", "body": {"model": "echo", "prompt": CANARY}}
_HOOK = {"url": "https://8.8.8.8/", "events": ["job.*"]}
_SCHEMA = {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {"type": "integer"}}}
_FORMAT = {"type": "json_schema", "json_schema": {"name": "a", "schema": _SCHEMA}}
_CHAT = {"model": "echo", "messages": [{"role": "user", "content": CANARY}], "max_tokens": 2}
_ITEMS: list[Any] = [CANARY, {"id": "a", "text": "b", "metadata": {"n": 1}}]
#: Valid requests, by method and path.
VALID: list[tuple[str, str, Any]] = [
    ("POST", "/v1/jobs", {"kind": "generate", "model": "echo", "items": _ITEMS, "stop": ["x"], "seed": 3}),
    ("POST", "/v1/jobs", {"kind": "translate", "source": "zh", "target": "en", "items": ["我"], "webhook": _HOOK}),
    ("POST", "/v1/jobs", {"kind": "moderate", "items": ["<b>a</b>"], "priority": "background", "format": "html"}),
    ("POST", "/v1/jobs", {"kind": "chat", "model": "echo", "items": [{"messages": _CHAT["messages"]}]}),
    ("POST", "/v1/chat/completions", _CHAT | {"temperature": 0.5, "stop": ["a"]}),
    ("POST", "/v1/chat/completions", _CHAT | {"response_format": _FORMAT}),
    ("POST", "/v1/completions", {"model": "echo", "prompt": CANARY, "max_tokens": 2}),
    ("POST", "/v1/responses", {"model": "echo", "input": CANARY, "max_output_tokens": 16}),
    ("POST", "/v1/moderations", {"input": CANARY}),
    ("POST", "/v1/embeddings", {"model": "echo", "input": CANARY}),
    ("POST", "/v1/batches", {"input_file_id": "file-" + "0" * 32, "endpoint": "/v1/completions"}),
    ("POST", "/v1/webhook-endpoints", _HOOK | {"where": '"copied" in warnings', "description": CANARY}),
    ("POST", "/v1/keys", {"name": CANARY, "scopes": ["read"]}),
    ("POST", "/v1/tenants", {"name": CANARY, "weight": 2}),
    ("PATCH", "/v1/tenants/{id}", {"weight": 2}),
    ("PATCH", "/v1/webhook-endpoints/{id}", {"description": CANARY}),
    ("POST", "/v1/webhook-endpoints/{id}/replay", {"since": "2020-01-01T00:00:00Z"}),
    ("POST", "/v1/jobs/{id}/cancel", None),
    ("POST", "/v1/jobs/{id}/retry", None),
    ("DELETE", "/v1/jobs/{id}", None),
    ("DELETE", "/v1/files/{id}", None),
    *(
        ("GET", path, None)
        for path in (
            "/v1/jobs", "/v1/jobs/{id}", "/v1/jobs/{id}/results", "/v1/jobs/{id}/deliveries", "/v1/files",
            "/v1/files/{id}", "/v1/files/{id}/content", "/v1/batches", "/v1/batches/{id}", "/v1/models",
            "/v1/models/{id}", "/v1/usage", "/v1/keys", "/v1/tenants", "/v1/workers", "/v1/webhook-endpoints",
            "/v1/deliveries/{id}", "/healthz", "/openapi.json",
        )
    ),
]  # fmt: skip
_IDS = [
    "0198c0de-0a0b-4c0d-8e0f-a1b2c3d4e5f6",
    "batch_" + "0" * 32,
    "file-" + "a" * 32,
    "nil",
    "%00",
    "..%2f",
    "a" * 300,
]
_WORDS = [
    CANARY, "", "\x00", "\ud7ff", "我", "a" * 300, "normal", "translate", "echo", "https://[::1]/", "file:///", "1e999",
    "{{7*7}}", "${7}", "'; --", "\u202e", "\ufeff", "2031-01-31T12:00:00Z", "2031-13-01", "#/$defs/a", "(a+)+$", "%s%n",
]  # fmt: skip
_NUMBERS = [0, -1, 1, 2**31, 2**63, -(2**63), 10**40, 0.1, -0.0, 1e308, 5e-324]
_QUERIES = ["limit", "after", "wait", "format", "purpose", "order", "state", "from", "to", CANARY]
_TYPES = [
    "application/json",
    "application/x-ndjson",
    "text/csv",
    "multipart/form-data; boundary=a",
    "text/plain",
    "",
    "*/*",
]


def requests(seed: int, key: str) -> Iterator[GeneratedRequest]:
    """Yields requests for ever. Nine of ten carry the key."""
    random = Random(seed)
    while True:
        method, path, body = random.choice(VALID)
        path = path.replace("{id}", random.choice(_IDS) if random.random() < 0.9 else _word(random))
        if random.random() < 0.2:
            path += "?" + "&".join(_query(random) for _ in range(random.randint(1, 4)))
        headers = _headers(random, key)
        yield GeneratedRequest(_method(random, method), _quoted(path), headers, _body(random, body, headers))


def _method(random: Random, method: str) -> str:
    return method if random.random() < 0.97 else random.choice(["PUT", "OPTIONS", "HEAD", "TRACE", "PATCH", "DELETE"])


def _query(random: Random) -> str:
    return f"{random.choice(_QUERIES)}={random.choice([*_WORDS, *map(str, _NUMBERS)])}"


def _quoted(path: str) -> str:
    return "".join(c if "!" <= c <= "~" else "".join(f"%{b:02x}" for b in c.encode(errors="replace")) for c in path)


def _headers(random: Random, key: str) -> dict[str, str]:
    found = {"Authorization": f"Bearer {key}"}
    if random.random() < 0.1:
        wrong = [
            "",
            f"Basic {CANARY}",
            f"Bearer {key[:-1]}",
            f"Bearer {key} ",
            f"bearer  {key}",
            "Bearer " + "a" * 4_000,
        ]
        found["Authorization"] = random.choice(wrong)
    if random.random() < 0.1:
        found["Idempotency-Key"] = random.choice([CANARY, "a" * 300, "\t", "1"])
    if random.random() < 0.1:
        found["Accept"] = random.choice(
            ["text/csv", "*/*;q=" + "9" * 90, "application/vnd.apache.parquet", ",;,;", CANARY]
        )
    return found


def _body(random: Random, body: Any, headers: dict[str, str]) -> bytes:
    if body is None and random.random() < 0.95:
        return b""
    headers["Content-Type"] = "application/json" if random.random() < 0.8 else random.choice(_TYPES)
    value = json.loads(json.dumps(body))
    for _ in range(random.choice((0, 1, 1, 1, 2, 5))):
        value = _changed(random, value)
    if (
        headers["Content-Type"] == "application/x-ndjson"
        and isinstance(value, dict)
        and isinstance(value.get("items"), list)
    ):
        head = {name: part for name, part in value.items() if name != "items"}
        written = "\n".join(json.dumps(line) for line in (head, *value["items"])).encode()
    else:
        written = json.dumps(value, ensure_ascii=random.random() < 0.5).encode(errors="surrogatepass")
    if random.random() < 0.1:
        written = _damaged(random, written)
    if random.random() < 0.05:
        headers["Content-Encoding"] = random.choice(["gzip", "zstd", "br", "gzip, gzip", CANARY])
        # Without a fixed time, a seed would make other bytes every second.
        written = gzip.compress(written, 1, mtime=0) if random.random() < 0.7 else written
    return written


def _damaged(random: Random, written: bytes) -> bytes:
    found = bytearray(written or b"x")
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(found))
        match random.randrange(4):
            case 0:
                found[at] = random.randrange(256)
            case 1:
                del found[at:]
                found += b"x"
            case 2:
                found[at:at] = found[at : at + 20] * random.randint(1, 50)
            case _:
                found[at:at] = random.choice([b"\x00", b"\xef\xbb\xbf", b"\r", b'"', b"\\", b"\xff\xfe", b"[" * 300])
    return bytes(found)


def _changed(random: Random, value: Any) -> Any:
    """The same value with one part replaced, left out, repeated or added, anywhere in it."""
    if isinstance(value, dict) and value and random.random() < 0.85:
        name = random.choice(list(value))
        match random.randrange(5):
            case 0:
                value.pop(name)
            case 1:
                value[_word(random)] = _value(random)
            case _:
                value[name] = _changed(random, value[name])
        return value
    if isinstance(value, list) and value and random.random() < 0.85:
        at = random.randrange(len(value))
        match random.randrange(5):
            case 0:
                del value[at]
            case 1:
                value += [value[at]] * random.randint(1, 30)
            case _:
                value[at] = _changed(random, value[at])
        return value
    return _value(random)


def _word(random: Random) -> str:
    return random.choice(_WORDS)


def _value(random: Random, depth: int = 0) -> Any:
    match random.randrange(7 if depth < 4 else 4):
        case 0:
            return random.choice([None, True, False])
        case 1:
            return random.choice(_NUMBERS)
        case 2 | 3:
            return _word(random)
        case 4:
            return [_value(random, depth + 1) for _ in range(random.randint(0, 4))]
        case _:
            return {_word(random): _value(random, depth + 1) for _ in range(random.randint(0, 4))}
