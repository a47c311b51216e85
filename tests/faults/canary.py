"""Looks for customers' texts where they must not be: in the logs of all processes, and in Redis."""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Any

import redis

from tests.faults.scene import CANARY, Scene
from tests.faults.verdict import Verdict

#: The word in a text and, reversed, in its answer.
_FORBIDDEN = (CANARY.encode(), CANARY[::-1].encode())
#: kombu encodes a message's body in base64.
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{16,}={0,2}")


class Canary:
    """Searches logs and Redis. Of each log it reads only what was written since the last search."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def look(self, scene: Scene, verdict: Verdict) -> None:
        for log in scene.stack.logs():
            with log.open("rb") as file:
                file.seek(self._seen.get(log.name, 0))
                written = file.read()
            self._seen[log.name] = self._seen.get(log.name, 0) + len(written)
            verdict.leaks += verdict.note(f"a customer's text in {log.name}", _is_in(written))
        with scene.stack.broker() as client:
            for key in client.scan_iter(count=1000):
                found = any(_is_in(part) for part in values(client, key))
                verdict.leaks += verdict.note(f"a customer's text in Redis, {key!r}", found)


def _is_in(written: bytes) -> bool:
    decoded = (_decoded(part) for part in _BASE64.findall(written))
    return any(word in part for word in _FORBIDDEN for part in (written, *decoded))


def _decoded(part: bytes) -> bytes:
    try:
        return base64.b64decode(part + b"=" * (-len(part) % 4))
    except binascii.Error:
        return b""


def values(client: "redis.Redis", key: bytes) -> Iterable[bytes]:
    """Reads all values under a key, according to its type. DUMP would compress them."""
    asked: Any = client
    match asked.type(key):
        case b"list":
            return list(asked.lrange(key, 0, -1))
        case b"hash":
            return list(asked.hvals(key))
        case b"set":
            return list(asked.smembers(key))
        case b"zset":
            return list(asked.zrange(key, 0, -1))
        case _:
            return [asked.get(key) or b""]
