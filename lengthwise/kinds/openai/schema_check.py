"""Compiles JSON schemas and checks answers against them in a child process, with limits of time and memory.

A schema is a program of a stranger: even a small one may take for ever to compile, or to check against a small answer.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator
from functools import cache
from struct import Struct
from typing import IO, Any

from lengthwise.confined import Budget, Confined, ConfinedError, OverBudget

#: For one schema or one answer. An honest answer takes less than a thousandth of it, a schema of 64 KiB a tenth.
BUDGET = Budget(seconds=0.1, memory_bytes=128 * 2**20)
#: Schemas that are remembered by their digest: as good, or as too costly.
_REMEMBERED = 10_000
#: What a child keeps of compiled schemas, by the bytes that they were written in.
_COMPILED_BYTES = 2**20
_SIZE = Struct("!I")
_YES, _NO, _BAD = b"y", b"n", b"b"


class TooCostly(ValueError):
    """The schema needs more time or memory than its budget allows."""

    def __init__(self) -> None:
        super().__init__("needs too much time or memory to check")


class _Verdicts:
    """What is known of schemas, by their digests. The oldest are forgotten."""

    def __init__(self) -> None:
        self._found: OrderedDict[bytes, bool] = OrderedDict()

    def get(self, written: bytes) -> bool | None:
        return self._found.get(_digest(written))

    def put(self, written: bytes, is_good: bool) -> None:
        self._found[_digest(written)] = is_good
        if len(self._found) > _REMEMBERED:
            self._found.popitem(last=False)


def _digest(written: bytes) -> bytes:
    return hashlib.blake2b(written, digest_size=16).digest()


_verdicts = _Verdicts()


@cache
def _children() -> Confined:
    return Confined(f"{__name__}:check", BUDGET, processes=2, wait_seconds=2.0)


def compiles(written: bytes) -> bool:
    """Whether this is a JSON schema, as bytes of JSON. Raises ``TooCostly``, and ``Unavailable`` if all are busy."""
    known = _verdicts.get(written)
    if known is None:
        answer = _ask(written, b"")
        known = answer != _BAD
        if known:
            _verdicts.put(written, True)
    elif not known:
        raise TooCostly
    return known


def is_valid(written: bytes, value: bytes) -> bool:
    """Whether a value, as bytes of JSON, is valid under the schema. Raises ``TooCostly``, and ``Unavailable``."""
    if _verdicts.get(written) is False:
        raise TooCostly
    return _ask(written, value) == _YES


def _ask(written: bytes, value: bytes) -> bytes:
    try:
        return _children().call(_SIZE.pack(len(written)) + written + value)
    except (OverBudget, ConfinedError):
        _verdicts.put(written, False)
        raise TooCostly from None


# What follows runs in the child.


def check(request: bytes, _: IO[bytes] | None) -> Iterator[bytes]:
    """Compiles the schema, and checks the value if there is one."""
    [size] = _SIZE.unpack_from(request)
    written, value = request[_SIZE.size : _SIZE.size + size], request[_SIZE.size + size :]
    try:
        compiled = _compiled.get(written)
    except Exception:  # the library's errors are of many types, and their texts quote the schema
        yield _BAD
        return
    yield _YES if not value or compiled.is_valid(json.loads(value)) else _NO


class _CompiledSchemas:
    """Compiled schemas by the bytes that they were written in, as long as these are few enough together."""

    def __init__(self) -> None:
        self._found: OrderedDict[bytes, Any] = OrderedDict()
        self._n_bytes = 0

    def get(self, written: bytes) -> Any:
        if written in self._found:
            self._found.move_to_end(written)
            return self._found[written]
        compiled = _compile(written)
        self._found[written] = compiled
        self._n_bytes += len(written)
        while self._n_bytes > _COMPILED_BYTES:
            self._n_bytes -= len(self._found.popitem(last=False)[0])
        return compiled


_compiled = _CompiledSchemas()


def _compile(written: bytes) -> Any:
    import jsonschema_rs

    # Its patterns must match in linear time, and it may not use the network.
    return jsonschema_rs.Draft202012Validator(
        json.loads(written), pattern_options=jsonschema_rs.RegexOptions(), retriever=_refuse
    )


def _refuse(_: str) -> Any:
    raise ValueError("a schema may only refer to its own parts")
