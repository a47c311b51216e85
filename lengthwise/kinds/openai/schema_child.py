"""What runs in the child of ``schema_check``: compiles JSON schemas, and checks values against them."""

import json
import time
from collections.abc import Iterator
from struct import Struct
from typing import IO, Any

import jsonschema_rs

from lengthwise.confined import data_bytes

SIZE = Struct("!I")
#: An answer begins with the seconds of CPU time that it took.
SECONDS = Struct("!d")
YES, NO, BAD = b"y", b"n", b"b"
#: The memory that compiled schemas may take before all of them are forgotten. How much one takes has little to do with
#: its length.
_KEPT_BYTES = 32 * 2**20


def check(request: bytes, _: IO[bytes] | None) -> Iterator[bytes]:
    """Compiles the schema, and checks the value if there is one: the CPU time that it took, and what was found.

    ``request`` is the schema's size in bytes (``SIZE``), the schema, and the value. Found is ``BAD`` if the schema does
    not compile, ``NO`` if there is a value that is not valid, else ``YES``.
    """
    began = time.process_time()
    found = _found(request)
    yield SECONDS.pack(time.process_time() - began) + found


def _found(request: bytes) -> bytes:
    [size] = SIZE.unpack_from(request)
    written, value = request[SIZE.size : SIZE.size + size], request[SIZE.size + size :]
    try:
        compiled = _compiled.get(written)
    except Exception:  # the library's errors are of many types, and their texts quote the schema
        return BAD
    return YES if not value or compiled.is_valid(json.loads(value)) else NO


class _CompiledSchemas:
    """Compiled schemas by the bytes that they were written in."""

    def __init__(self) -> None:
        self._found: dict[bytes, Any] = {}
        self._most_bytes = data_bytes() + _KEPT_BYTES

    def get(self, written: bytes) -> Any:
        if written not in self._found:
            if data_bytes() > self._most_bytes:
                self._found.clear()
            self._found[written] = _compile(written)
        return self._found[written]


def _compile(written: bytes) -> Any:
    # Its patterns must match in linear time, and it may not use the network.
    return jsonschema_rs.Draft202012Validator(
        json.loads(written), pattern_options=jsonschema_rs.RegexOptions(), retriever=_refuse
    )


def _refuse(_: str) -> Any:
    raise ValueError("a schema may only refer to its own parts")


_compile(b"{}")  # the library's first call takes long, and would count in some caller's budget
_compiled = _CompiledSchemas()
