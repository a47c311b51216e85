"""Rows of Parquet in blocks, and the values of Arrow's columns as texts. Import it only if pyarrow is installed."""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from pydantic_core import to_json

from lengthwise.formats.source import CsvBlocks, SourceTable

_COMPRESSED = pa.ipc.IpcWriteOptions(compression="zstd")
_BINARY = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
_STRING = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


class ParquetBlocks:
    """Rows of Parquet, in Arrow's stream format."""

    def packed(self, table: Any) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema, options=_COMPRESSED) as stream:
            stream.write_table(table.combine_chunks())
        packed: bytes = sink.getvalue().to_pybytes()
        return packed

    def texts(self, content: bytes, text_columns: Sequence[str]) -> list[list[str]]:
        table = _unpacked(content)
        columns = [
            _shown(column.combine_chunks(), name in text_columns)
            for name, column in zip(table.column_names, table.columns, strict=True)
        ]
        return [list(row) for row in zip(*columns, strict=True)]

    def taken(self, content: bytes, places: Sequence[int]) -> bytes:
        return self.packed(rows_at(_unpacked(content), places))


def _unpacked(content: bytes) -> Any:
    return pa.ipc.open_stream(content).read_all()


def table_of(source: SourceTable, content: bytes) -> Any:
    """A block's rows as a ``pyarrow.Table``. The values of CSV are strings."""
    if source.format == "parquet":
        return _unpacked(content)
    columns = zip(*CsvBlocks().texts(content), strict=True)
    return pa.table([pa.array(column, pa.string()) for column in columns], source.columns)


def rows_at(table: Any, places: Sequence[int]) -> Any:
    """These rows of a table, in runs: Arrow cannot take single rows of every type."""
    runs: list[list[int]] = []
    for place in places:
        if runs and sum(runs[-1]) == place:
            runs[-1][1] += 1
        else:
            runs.append([place, 1])
    return pa.concat_tables([table.slice(0, 0), *(table.slice(start, length) for start, length in runs)])


def is_bytes(kind: Any) -> bool:
    return any(test(kind) for test in _BINARY)


def is_text(kind: Any) -> bool:
    """Whether a column of this type may hold texts: strings, bytes that are UTF-8, or nothing at all."""
    return is_bytes(kind) or any(test(kind) for test in _STRING) or pa.types.is_null(kind)


def type_name(kind: Any) -> str:
    """The type without the names of a nested type's fields."""
    return str(kind).partition("<")[0] if pa.types.is_nested(kind) else str(kind)


def strings(column: Any) -> list[str | None]:
    """Each value in its exact form as a string, bytes as UTF-8.

    Raises ``ValueError`` for bytes that are not UTF-8, and for types that have no such form, such as lists.
    """
    if isinstance(column.type, pa.BaseExtensionType):
        return [None if value is None else str(value) for value in column.to_pylist()]
    if pa.types.is_nested(column.type):
        raise ValueError("a nested value is no string")
    if is_bytes(column.type):
        return [None if value is None else value.decode() for value in column.to_pylist()]
    try:
        found: list[str | None] = column.cast(pa.string()).to_pylist()
    except pa.ArrowInvalid:  # a time zone that this machine does not know
        found = column.cast(_of_times(column.type, _in_utc)).cast(pa.string()).to_pylist()
    return found


def _shown(column: Any, is_text_column: bool) -> list[str]:
    if is_bytes(column.type) and not is_text_column:
        return _as_json(column)
    try:
        return ["" if value is None else value for value in strings(column)]
    except ValueError:
        return _as_json(column)


def _as_json(column: Any) -> list[str]:
    """Each value as JSON, but without quotes around a string; bytes as base64."""
    try:
        values = column.to_pylist()
    except (ValueError, OverflowError, KeyError):  # times and zones that Python has not, such as nanoseconds
        known = column.cast(_of_times(column.type, _in_utc))
        values = known.cast(_of_times(column.type, lambda _: pa.string())).to_pylist()
    written = ["" if value is None else to_json(value, bytes_mode="base64", fallback=str).decode() for value in values]
    return [each[1:-1] if isinstance(value, bytes) else each for value, each in zip(values, written, strict=True)]


def _in_utc(kind: Any) -> Any:
    return pa.timestamp(kind.unit, "UTC") if pa.types.is_timestamp(kind) and kind.tz else kind


def _of_times(kind: Any, change: Callable[[Any], Any]) -> Any:
    """The same type with other types of times. Python's own end at microseconds and at the year 9999."""
    if pa.types.is_temporal(kind):
        return change(kind)
    if pa.types.is_map(kind):
        return pa.map_(_of_times(kind.key_type, change), _of_times(kind.item_type, change))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_of_times(field.type, change)) for field in kind])
    if pa.types.is_nested(kind):
        return pa.list_(_of_times(kind.value_type, change))
    return kind
