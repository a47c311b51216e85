"""The body of a request, compressed in a temporary file, so that it can be sent more than once."""

from collections.abc import Iterable, Iterator, Mapping
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Any, Self

import zstandard
from pydantic_core import PydanticSerializationError, from_json

from lengthwise import json_line
from lengthwise.client import _given_items
from lengthwise.errors import InvalidInput

_MEMORY_BYTES = 2**20
_BLOCK_BYTES = 2**16

Item = str | Mapping[str, Any]


class Spool:
    """Written once, read any number of times. Leaving its ``with`` block deletes it."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=_MEMORY_BYTES)  # noqa: SIM115 — __exit__ closes it
        self._packer = zstandard.ZstdCompressor().stream_writer(self._file, closefd=False)
        self.n_items = 0
        #: Compressed bytes, once ``finish`` was called.
        self.size = 0

    def write(self, data: bytes) -> None:
        self._packer.write(data)

    def add(self, items: Iterable[Item]) -> None:
        """Writes each item as a line of NDJSON.

        Raises ``InvalidInput`` for an item that JSON cannot express, and ``TypeError`` for one of another type, or if
        ``items`` is no series of items.
        """
        for item in _given_items.iterate(items):
            self.write(_line(item, self.n_items))
            self.n_items += 1

    def finish(self) -> None:
        """Ends the body; nothing may be written after this."""
        self._packer.flush(zstandard.FLUSH_FRAME)
        self.size = self._file.tell()

    def chunks(self) -> Iterator[bytes]:
        """The compressed body, from the start."""
        self._file.seek(0)
        while block := self._file.read(_BLOCK_BYTES):
            yield block

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _line(item: Item, index: int) -> bytes:
    found = item if isinstance(item, str) else _given_items.plain(item, index)
    try:
        line = json_line.written(found if isinstance(found, str) else dict(found))
        if b"NaN" in line or b"Infinity" in line:
            from_json(line, allow_inf_nan=False)
    except (PydanticSerializationError, ValueError):
        at = f"items[{index}]"
        raise InvalidInput(
            f"{at} has a value that JSON has not, such as NaN, a number of NumPy or half a character", at, index
        ) from None
    return line
