"""Items from a Parquet file, some rows at a time. Imported only if pyarrow is installed."""

from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from api.jobs.tables.table_row import RowLayout, TableColumns
from lengthwise.errors import InvalidInput, TooLarge
from lengthwise.formats import source_parquet as arrow
from lengthwise.formats.source import BlockBuilder, Keep
from lengthwise.settings import Settings

#: Rows that are turned into items at a time.
_BATCH_ROWS = 64


class ParquetTable:
    """A Parquet file. Only its schema is read at first.

    Raises ``InvalidInput``, and ``TooLarge`` if the unpacked rows exceed a body's limit.
    """

    def __init__(self, file: IO[bytes], columns: TableColumns, current: Settings) -> None:
        for name in ("delimiter", "encoding"):
            if getattr(columns, name) is not None:
                raise InvalidInput("is for CSV only", name)
        try:
            self._file = pq.ParquetFile(file, memory_map=False, pre_buffer=False)
            schema = self._file.schema_arrow
        except (pa.ArrowException, OSError, ValueError):
            raise InvalidInput("not valid Parquet", "body") from None
        self._names, self._settings = list(schema.names), current
        self._layout = RowLayout.of(self._names, columns)
        self._check_types(schema, columns)
        _check_groups(self._file.metadata, current)
        self.source = columns.source("parquet", self._names)

    def _check_types(self, schema: Any, columns: TableColumns) -> None:
        for name, at in self._layout.texts.items():
            kind = _plain(schema.field(at).type)
            if not arrow.is_text(kind):
                field = f"text_columns[{columns.text_columns.index(name)}]" if columns.text_columns else "text_column"
                raise InvalidInput(f"names a column of type {arrow.type_name(kind)}, which holds no texts", field)
        if self._layout.id is not None and pa.types.is_nested(kind := schema.field(self._layout.id).type):
            raise InvalidInput(f"names a column of type {arrow.type_name(kind)}, which holds no ids", "id_column")

    def items(self, keep: Keep) -> Iterator[bytes]:
        """The items of all rows, which go to ``keep`` as well."""
        batches = self._file.iter_batches(_BATCH_ROWS, use_threads=False)
        kept, number, index, size = BlockBuilder(keep, _packed), 0, 0, 0
        while (batch := _next(batches, number)) is not None:
            if batch.schema.names != self._names:
                raise InvalidInput("has columns that cannot be told apart by their names", "body")
            batch = _read(batch, number)
            size += batch.nbytes
            if size > self._settings.max_body_bytes:
                raise TooLarge(f"a body may have at most {self._settings.max_body_bytes} bytes", "body")
            self._check_rows(batch, number)
            for row in self._rows(batch, number):
                found = self._items(number, index, row)
                yield from found
                number += 1
                index += len(found)
            kept.add(batch, batch.num_rows, batch.nbytes)
        kept.finish()

    def _rows(self, batch: Any, number: int) -> Iterator[tuple[Any, ...]]:
        """For each row its texts, its id and its metadata."""
        layout = self._layout
        texts = zip(*(_strings(batch.column(at), number) for at in layout.texts.values()), strict=True)
        ids = [None] * batch.num_rows if layout.id is None else _strings(batch.column(layout.id), number)
        values = [_values(batch.column(at), number) for at in layout.metadata.values()]
        metadata = (dict(zip(layout.metadata, each, strict=True)) for each in zip(*values, strict=True))
        return zip(texts, ids, metadata if values else [None] * batch.num_rows, strict=True)

    def _check_rows(self, batch: Any, number: int) -> None:
        if batch.nbytes > self._settings.max_line_bytes:
            for at in range(batch.num_rows):
                self._check_row(batch.slice(at, 1).nbytes, number + at)

    def _check_row(self, size: int, number: int) -> None:
        limit = self._settings.max_line_bytes
        if size > limit:
            first_item = number * self.source.n_cells
            raise TooLarge(f"a row may have at most {limit} bytes", f"row {number + 1}", first_item)

    def _items(self, number: int, index: int, row: tuple[Any, ...]) -> list[bytes]:
        try:
            found = self._layout.items(number, *row)
        except (ValueError, TypeError, RecursionError):
            raise InvalidInput("has a value that JSON cannot express", f"row {number + 1}", index) from None
        self._check_row(max(map(len, found)), number)
        return found


def _packed(batches: list[Any]) -> bytes:
    return arrow.ParquetBlocks().packed(pa.Table.from_batches(batches))


def _check_groups(metadata: Any, current: Settings) -> None:
    """Refuses a file whose own metadata says that it is too large. The rows are counted again while they are read."""
    sizes = (metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups))
    if sum(sizes) > current.max_body_bytes:
        raise TooLarge(f"a body may have at most {current.max_body_bytes} bytes", "body")


def _next(batches: Iterator[Any], number: int) -> Any:
    try:
        return next(batches, None)
    except (pa.ArrowException, OSError, ValueError):
        raise InvalidInput("not valid Parquet", f"row {number + 1}") from None


def _plain(kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _read(batch: Any, number: int) -> Any:
    """The batch with values in place of dictionaries, each of which would be stored with every block."""
    try:
        batch.validate(full=True)
        columns = [
            column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
            for column in batch.columns
        ]
        fields = [field.with_type(column.type) for field, column in zip(batch.schema, columns, strict=True)]
        return pa.record_batch(columns, pa.schema(fields))
    except (pa.ArrowException, ValueError):  # for instance text that is not UTF-8
        raise _unreadable(number) from None


def _strings(column: Any, number: int) -> list[str | None]:
    try:
        return arrow.strings(column)
    except ValueError:
        for at in range(len(column)):
            try:
                arrow.strings(column.slice(at, 1))
            except ValueError:
                raise InvalidInput("has bytes that are not UTF-8", f"row {number + at + 1}") from None
        raise _unreadable(number) from None


def _values(column: Any, number: int) -> list[Any]:
    try:
        found: list[Any] = column.to_pylist()
    except (pa.ArrowException, OSError, ValueError, OverflowError):  # for instance times that no calendar has
        raise _unreadable(number) from None
    return found


def _unreadable(number: int) -> InvalidInput:
    return InvalidInput("has a value that cannot be read", f"row {number + 1} or one of the next")
