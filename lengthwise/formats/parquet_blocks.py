"""Reads a stranger's Parquet file into blocks of rows, within limits. ``blocks`` runs in a confined child.

A file of a few hundred bytes may stand for gigabytes: a page of repeated values, a dictionary with long values, lists
of millions of nulls. What the metadata says about sizes is a claim. So the rows are read a few at a time and counted,
and whatever is materialised on the way has the memory of the child at most.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from struct import Struct
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from lengthwise.errors import InvalidInput, TooLarge
from lengthwise.formats.source import BLOCK_BYTES, BlockBuilder, RowBlock
from lengthwise.formats.source_parquet import ParquetBlocks

#: Rows that are read at a time.
_BATCH_ROWS = 64
#: Bytes of a column that are read at a time. Without it, Arrow reads a column of a whole row group.
_READ_BYTES = 2**16
#: The columns' names and types, which are stored with every block.
_SCHEMA_BYTES = 2**20
_BLOCK = Struct("!QI")
#: What pyarrow raises for a file that it cannot read. Python's stack ends in types that are nested too deeply.
_UNREADABLE = (pa.ArrowException, OSError, ValueError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class TableLimits:
    """The most that a table may have."""

    row_bytes: int
    #: Of all rows together.
    total_bytes: int
    rows: int
    columns: int
    #: In one block.
    block_rows: int

    def request(self, *, only_schema: bool) -> bytes:
        return json.dumps([only_schema, asdict(self)]).encode()


def block(answer: bytes) -> RowBlock:
    """The block of an answer."""
    first, n_rows = _BLOCK.unpack_from(answer)
    return RowBlock(first, n_rows, answer[_BLOCK.size :])


def blocks(request: bytes, file: IO[bytes] | None) -> Iterator[bytes]:
    """Answers with the schema in Arrow's format, or with the blocks. Raises ``InvalidInput`` and ``MemoryError``."""
    only_schema, given = json.loads(request)
    pa.set_memory_pool(pa.system_memory_pool())  # others reserve far more than they use
    table = _File(file, TableLimits(**given))
    if only_schema:
        yield table.schema()
    else:
        for found in table.blocks():
            yield _BLOCK.pack(found.first, found.n_rows) + found.content


class _File:
    def __init__(self, file: IO[bytes] | None, limits: TableLimits) -> None:
        self._limits = limits
        try:
            self._file = pq.ParquetFile(file, memory_map=False, pre_buffer=False, buffer_size=_READ_BYTES)
            self._check(self._file.metadata)
            self._schema = self._file.schema_arrow
        except MemoryError:
            raise
        except _UNREADABLE:
            raise InvalidInput("not valid Parquet", "body") from None

    def _check(self, metadata: Any) -> None:
        """Refuses a file whose own metadata says that it is too large."""
        limits = self._limits
        if metadata.num_columns > limits.columns:
            raise TooLarge(f"a table may have at most {limits.columns} columns", "body")
        if metadata.num_rows > limits.rows:
            raise TooLarge(f"a job may have at most {limits.rows} items", "items")
        if sum(metadata.row_group(at).total_byte_size for at in range(metadata.num_row_groups)) > limits.total_bytes:
            raise _too_large(limits)

    def schema(self) -> bytes:
        found: bytes = self._schema.remove_metadata().serialize().to_pybytes()
        if len(found) > _SCHEMA_BYTES:
            raise TooLarge(f"the columns' names and types may have at most {_SCHEMA_BYTES} bytes", "body")
        return found

    def blocks(self) -> Iterator[RowBlock]:
        found: list[RowBlock] = []
        kept, number, size = BlockBuilder(found.append, _packed, self._limits.block_rows), 0, 0
        for batch in self._batches():
            if batch.schema.names != self._schema.names:
                raise InvalidInput("has columns that cannot be told apart by their names", "body")
            size += (n_bytes := _size(batch))
            if size > self._limits.total_bytes:
                raise _too_large(self._limits)
            is_large = n_bytes > min(self._limits.row_bytes, BLOCK_BYTES)
            for part in (batch.slice(at, 1) for at in range(batch.num_rows)) if is_large else (batch,):
                kept.add(part, part.num_rows, self._checked_size(part, number) if is_large else n_bytes)
                number += part.num_rows
                yield from found
                found.clear()
        kept.finish()
        yield from found

    def _batches(self) -> Iterator[Any]:
        batches = self._file.iter_batches(min(_BATCH_ROWS, self._limits.block_rows), use_threads=False)
        number = 0
        while (batch := _next(batches, number)) is not None:
            yield batch
            number += batch.num_rows
            if number > self._limits.rows:
                raise TooLarge(f"a job may have at most {self._limits.rows} items", "items")

    def _checked_size(self, row: Any, number: int) -> int:
        size = _size(row)
        if size > self._limits.row_bytes:
            raise TooLarge(f"a row may have at most {self._limits.row_bytes} bytes", f"row {number + 1}", number)
        return size


def _too_large(limits: TableLimits) -> TooLarge:
    return TooLarge(f"a body may have at most {limits.total_bytes} bytes", "body")


def _next(batches: Iterator[Any], number: int) -> Any:
    """The next batch, with values in place of dictionaries, each of which would be stored with every block."""
    try:
        batch = next(batches, None)
    except MemoryError:
        raise
    except _UNREADABLE:
        raise InvalidInput("not valid Parquet", f"row {number + 1}") from None
    if batch is None:
        return None
    try:
        batch.validate(full=True)
        columns = [
            column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
            for column in batch.columns
        ]
        fields = [field.with_type(column.type) for field, column in zip(batch.schema, columns, strict=True)]
        return pa.record_batch(columns, pa.schema(fields))
    except MemoryError:
        raise
    except _UNREADABLE:  # for instance text that is not UTF-8
        raise InvalidInput("has a value that cannot be read", f"row {number + 1} or one of the next") from None


def _packed(batches: list[Any]) -> bytes:
    try:
        return ParquetBlocks().packed(pa.Table.from_batches(batches))
    except MemoryError:
        raise
    except _UNREADABLE:  # for instance types that are nested too deeply
        raise InvalidInput("has a column of a type that cannot be kept", "body") from None


def _size(batch: Any) -> int:
    """The bytes of some rows: at least one for each value that is shown, and the names of nested fields each time."""
    return int(batch.nbytes) + sum(map(_more_than_bytes, batch.columns))


def _more_than_bytes(column: Any) -> int:
    """What the values show that have less than a byte each in Arrow's form."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return _more_than_bytes(column.storage)
    if pa.types.is_map(kind):
        return _more_than_bytes(column.cast(pa.list_(pa.struct([kind.key_field, kind.item_field]))))
    if pa.types.is_struct(kind):
        names = sum(len(field.name.encode()) + 1 for field in kind)
        return len(column) * names + sum(map(_more_than_bytes, column.flatten()))
    if pa.types.is_nested(kind):
        return len(column) + _more_than_bytes(column.flatten())
    if pa.types.is_dictionary(kind):
        return _more_than_bytes(column.dictionary_decode())
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return int(column.cast(pa.large_binary()).nbytes)  # several views may share their bytes
    return len(column) if pa.types.is_null(kind) or pa.types.is_boolean(kind) else 0
