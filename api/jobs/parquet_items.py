"""Items from a Parquet file, some rows at a time. Imported only if pyarrow is installed."""

from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from api.jobs.table_row import RowLayout, TableColumns
from lengthwise.errors import InvalidInput, TooLarge
from lengthwise.settings import Settings

#: Rows that are turned into items at a time.
_BATCH_ROWS = 64


def items(file: IO[bytes], columns: TableColumns, current: Settings) -> Iterator[bytes]:
    """One item for each row. Raises ``InvalidInput``, and ``TooLarge`` if the unpacked rows exceed a body's limit."""
    try:
        table = pq.ParquetFile(file, memory_map=False, pre_buffer=False)
        header = list(table.schema_arrow.names)
    except (pa.ArrowException, OSError, ValueError):
        raise InvalidInput("not valid Parquet", "body") from None
    wanted = RowLayout.of(header, columns)
    _check_groups(table.metadata, current)
    names = [header[at] for at in sorted({wanted.text, *wanted.metadata.values(), *_some(wanted.id)})]
    yield from _rows(table, names, RowLayout.of(names, columns), current)


def _rows(table: Any, names: list[str], places: RowLayout, current: Settings) -> Iterator[bytes]:
    batches = table.iter_batches(_BATCH_ROWS, columns=names, use_threads=False)
    index, size = 0, 0
    while (batch := _next(batches, index)) is not None:
        if batch.schema.names != names:  # for instance a column a.b beside a column a with a field b
            raise InvalidInput("has columns that cannot be told apart by their names", "body")
        size += batch.nbytes
        if size > current.max_body_bytes:
            raise TooLarge(f"a body may have at most {current.max_body_bytes} bytes", "body")
        for row in _values(batch, index):
            item = _item(places, row, index)
            if len(item) > current.max_line_bytes:
                raise TooLarge(f"a row may have at most {current.max_line_bytes} bytes", f"row {index + 1}", index)
            yield item
            index += 1


def _check_groups(metadata: Any, current: Settings) -> None:
    """Refuses a file whose own metadata says that it is too large. The rows are counted again while they are read."""
    sizes = (metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups))
    if sum(sizes) > current.max_body_bytes:
        raise TooLarge(f"a body may have at most {current.max_body_bytes} bytes", "body")


def _next(batches: Iterator[Any], index: int) -> Any:
    try:
        return next(batches, None)
    except (pa.ArrowException, OSError, ValueError):
        raise InvalidInput("not valid Parquet", f"row {index + 1}", index) from None


def _values(batch: Any, index: int) -> Iterator[tuple[Any, ...]]:
    try:
        return zip(*(column.to_pylist() for column in batch.columns), strict=True)
    except (
        pa.ArrowException,
        OSError,
        ValueError,
        OverflowError,
    ):  # text that is not UTF-8, times that no calendar has
        raise InvalidInput("has a value that cannot be read", f"row {index + 1} or one of the next", index) from None


def _item(places: RowLayout, row: tuple[Any, ...], index: int) -> bytes:
    try:
        return places.item(row)
    except (ValueError, TypeError, RecursionError):
        raise InvalidInput("has a value that JSON has not", f"row {index + 1}", index) from None


def _some(at: int | None) -> list[int]:
    return [] if at is None else [at]
