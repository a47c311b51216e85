"""Items from a Parquet file, some rows at a time. Imported only if pyarrow is installed."""

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from tempfile import SpooledTemporaryFile
from typing import IO, Any

import pyarrow as pa

from api.http import body
from api.jobs.tables.table_row import RowLayout, TableColumns
from lengthwise.confined import Budget, Confined, ConfinedError, OverBudget
from lengthwise.errors import InvalidInput, TooBusy, TooLarge
from lengthwise.formats import parquet_blocks, source
from lengthwise.formats import source_parquet as arrow
from lengthwise.formats.parquet_blocks import TableLimits
from lengthwise.formats.source import Keep, RowBlock
from lengthwise.settings import Settings

#: Rows that are turned into items at a time.
_BATCH_ROWS = 64
#: Files that one process of the API reads at a time. Each may need the memory of its budget.
_PROCESSES = 2
#: Files that are read or wait for it. Each holds a thread, and other requests need threads as well.
_waiting = threading.BoundedSemaphore(12)
_IN_MEMORY = 2**20
_SIZE_BYTES = 8


class ParquetTable:
    """A Parquet file. A confined child reads it into blocks of rows, which are kept in a temporary file.

    Raises ``InvalidInput``, and ``TooLarge`` if the unpacked rows exceed a body's limit, or if reading them needs more
    time or memory than allowed; ``TooBusy`` if many other files are being read.
    """

    def __init__(self, file: IO[bytes], columns: TableColumns, current: Settings) -> None:
        for name in ("delimiter", "encoding"):
            if getattr(columns, name) is not None:
                raise InvalidInput("is for CSV only", name)
        limits = TableLimits(
            current.max_line_bytes, current.max_body_bytes, current.max_items, current.max_columns, source.BLOCK_ROWS
        )
        self._settings = current
        with _turn():
            self._read_file(file, columns, limits, _reader(current.parquet_seconds, current.parquet_memory_bytes))

    def _read_file(self, file: IO[bytes], columns: TableColumns, limits: TableLimits, reader: Confined) -> None:
        schema = pa.ipc.read_schema(pa.py_buffer(b"".join(_answers(reader, limits, file, only_schema=True))))
        self._layout = RowLayout.of(schema.names, columns)
        self._check_types(schema, columns)
        self.source = columns.source("parquet", schema.names)
        self._blocks = self._spooled(_answers(reader, limits, file))

    def _check_types(self, schema: Any, columns: TableColumns) -> None:
        for name, at in self._layout.texts.items():
            kind = _plain(schema.field(at).type)
            if not arrow.is_text(kind):
                field = f"text_columns[{columns.text_columns.index(name)}]" if columns.text_columns else "text_column"
                raise InvalidInput(f"names a column of type {arrow.type_name(kind)}, which holds no texts", field)
        if self._layout.id is not None and pa.types.is_nested(kind := schema.field(self._layout.id).type):
            raise InvalidInput(f"names a column of type {arrow.type_name(kind)}, which holds no ids", "id_column")

    def _spooled(self, answers: Iterator[bytes]) -> IO[bytes]:
        """A file of all blocks. The child is free again before a transaction begins."""
        spool = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - it lives as long as the table
        weakref.finalize(self, spool.close)
        try:
            with body.room():
                for answer in answers:
                    spool.write(len(answer).to_bytes(_SIZE_BYTES))
                    spool.write(answer)
        except InvalidInput as error:
            if error.index is not None:
                error.index *= self.source.n_cells
            raise
        return spool

    def items(self, keep: Keep) -> Iterator[bytes]:
        """The items of all rows, which go to ``keep`` as well."""
        number = index = 0
        for block in self._read():
            for batch in arrow.table_of(self.source, block.content).to_batches(_BATCH_ROWS):
                for row in self._rows(batch, number):
                    found = self._items(number, index, row)
                    yield from found
                    number += 1
                    index += len(found)
            keep(block)

    def _read(self) -> Iterator[RowBlock]:
        self._blocks.seek(0)
        while head := self._blocks.read(_SIZE_BYTES):
            yield parquet_blocks.block(self._blocks.read(int.from_bytes(head)))

    def _rows(self, batch: Any, number: int) -> Iterator[tuple[Any, ...]]:
        """For each row its texts, its id and its metadata."""
        layout = self._layout
        texts = zip(*(_strings(batch.column(at), number) for at in layout.texts.values()), strict=True)
        ids = [None] * batch.num_rows if layout.id is None else _strings(batch.column(layout.id), number)
        values = [_values(batch.column(at), number) for at in layout.metadata.values()]
        metadata = (dict(zip(layout.metadata, each, strict=True)) for each in zip(*values, strict=True))
        return zip(texts, ids, metadata if values else [None] * batch.num_rows, strict=True)

    def _items(self, number: int, index: int, row: tuple[Any, ...]) -> list[bytes]:
        try:
            found = self._layout.items(number, *row)
        except (ValueError, TypeError, RecursionError):
            raise InvalidInput("has a value that JSON cannot express", f"row {number + 1}", index) from None
        limit = self._settings.max_line_bytes
        if max(map(len, found)) > limit:
            raise TooLarge(f"a row may have at most {limit} bytes", f"row {number + 1}", index)
        return found


@contextmanager
def _turn() -> Iterator[None]:
    if not _waiting.acquire(blocking=False):
        raise TooBusy("too many Parquet files are being read", retry_after=2)
    try:
        yield
    finally:
        _waiting.release()


@cache
def _reader(seconds: float, memory_bytes: int) -> Confined:
    return Confined("lengthwise.formats.parquet_blocks:blocks", Budget(seconds, memory_bytes), _PROCESSES)


def _answers(reader: Confined, limits: TableLimits, file: IO[bytes], *, only_schema: bool = False) -> Iterator[bytes]:
    file.flush()
    try:
        yield from reader.stream(limits.request(only_schema=only_schema), file)
    except OverBudget as error:
        raise TooLarge(f"needs too much {error.resource} to be read: send smaller files, or CSV", "body") from None
    except ConfinedError:  # for instance a file that makes Arrow end its process
        raise InvalidInput("not valid Parquet", "body") from None


def _plain(kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


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
