"""Results as Parquet, written while they are read. Import it only if pyarrow is installed."""

from collections.abc import Iterable, Iterator
from io import RawIOBase
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lengthwise.formats.layout import Column, ColumnType, Row, TableLayout
from lengthwise.formats.source import RowBlock, SourceTable
from lengthwise.formats.source_parquet import rows_at, table_of

#: A row group is held in memory. It ends at so many rows, or bytes of results and of the table that was sent.
_GROUP_ROWS = 10_000
_GROUP_BYTES = 8 * 2**20

_TYPES: dict[ColumnType, Any] = {
    ColumnType.INTEGER: pa.int64(),
    ColumnType.LARGE_INTEGER: pa.int64(),
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


def written(
    lines: Iterable[bytes], layout: TableLayout, source: SourceTable | None = None, blocks: Iterable[RowBlock] = ()
) -> Iterator[bytes]:
    """Converts lines of JSON to Parquet, compressed with zstd. Yields one row group at a time.

    With ``source``, the columns of that table come first, in their types; ``blocks`` are its rows, in order. There is
    at least one.
    """
    columns, sink = layout.columns, _Sink()
    schema = pa.schema([(column.name, _TYPES[column.type]) for column in columns])
    kept = None if source is None else _ArrowRows(source, blocks)
    if kept is not None:
        schema = pa.schema([*kept.schema, *schema])
    writer = pq.ParquetWriter(sink, schema, compression="zstd")
    try:
        for group in _groups(layout.rows(lines), kept):
            before = [] if kept is None else kept.taken().columns
            writer.write_table(pa.table([*before, *_arrays(columns, group)], schema))
            yield sink.take()
    finally:
        writer.close()
    yield sink.take()


class _ArrowRows:
    """The rows of a table by their numbers, which must be asked for in order."""

    def __init__(self, source: SourceTable, blocks: Iterable[RowBlock]) -> None:
        self._source, self._blocks = source, iter(blocks)
        self._places: list[int] = []
        self._parts: list[Any] = []
        self._next()
        self.schema = self._rows.schema

    def _next(self) -> None:
        block = next(self._blocks)
        self._first = block.first
        self._rows = table_of(self._source, block.content)

    def add(self, number: int) -> int:
        """Takes this row. Returns how many bytes are held for it and were not before: those of whole blocks."""
        n_bytes = 0
        while number >= self._first + self._rows.num_rows:
            self._cut()
            self._next()
            n_bytes = self._rows.nbytes
        self._places.append(number - self._first)
        return n_bytes

    def taken(self) -> Any:
        """The rows that were added since the last call."""
        self._cut()
        parts, self._parts = [self._rows.slice(0, 0), *self._parts], []
        return pa.concat_tables(parts).unify_dictionaries()

    def _cut(self) -> None:
        if self._places:
            self._parts.append(rows_at(self._rows, self._places))
            self._places = []


def _groups(rows: Iterable[Row], kept: _ArrowRows | None) -> Iterator[list[Row]]:
    group: list[Row] = []
    size = 0
    for row in rows:
        group.append(row)
        size += row.n_bytes + (0 if kept is None else kept.add(row.number))
        if len(group) == _GROUP_ROWS or size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _arrays(columns: list[Column], group: list[Row]) -> list[Any]:
    values = zip(*(row.values for row in group), strict=True)
    return [pa.array(each, _TYPES[column.type]) for each, column in zip(values, columns, strict=True)]
