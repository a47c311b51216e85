"""Results as Parquet, written while they are read. Import it only if pyarrow is installed."""

from collections.abc import Iterable, Iterator
from io import RawIOBase
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic_core import from_json

from lengthwise.formats.layout import Column, ColumnType, Layout

#: A row group is held in memory. It ends at so many rows or bytes of JSON.
_GROUP_ROWS = 10_000
_GROUP_BYTES = 8 * 2**20

_TYPES: dict[ColumnType, Any] = {
    ColumnType.INTEGER: pa.int64(),
    ColumnType.NUMBER: pa.float64(),
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.TEXT: pa.string(),
    ColumnType.VECTOR: pa.list_(pa.float64()),
}


class _Sink(RawIOBase):
    """A file that holds what was written to it until it is taken."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        taken, self._parts = b"".join(self._parts), []
        return taken


def written(lines: Iterable[bytes], layout: Layout) -> Iterator[bytes]:
    """Converts lines of JSON to Parquet, compressed with zstd. Yields one row group at a time."""
    columns, sink = layout.columns, _Sink()
    schema = pa.schema([(column.name, _TYPES[column.type]) for column in columns])
    writer = pq.ParquetWriter(sink, schema, compression="zstd")
    try:
        for group in _groups(lines):
            writer.write_table(_table(layout, columns, schema, group))
            yield sink.take()
    finally:
        writer.close()
    yield sink.take()


def _groups(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    group: list[bytes] = []
    size = 0
    for line in lines:
        group.append(line)
        size += len(line)
        if len(group) == _GROUP_ROWS or size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _table(layout: Layout, columns: list[Column], schema: Any, group: list[bytes]) -> Any:
    rows = list(layout.rows(map(from_json, group)))
    return pa.table(
        [
            pa.array(values, _TYPES[column.type])
            for values, column in zip(zip(*rows, strict=True), columns, strict=True)
        ],
        schema,
    )
