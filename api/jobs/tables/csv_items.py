"""Items from CSV (RFC 4180), read strictly and a row at a time. Quoted fields may hold newlines."""

import csv
import re
from collections.abc import Iterator
from functools import partial
from typing import IO

from api.http import body
from api.jobs.tables.table_row import RowLayout, TableColumns
from lengthwise import encoding
from lengthwise.errors import InvalidInput, TooLarge
from lengthwise.formats import dialect
from lengthwise.formats.dialect import DELIMITERS
from lengthwise.formats.source import BlockBuilder, CsvBlocks, Keep
from lengthwise.settings import Settings

#: The start of the file that is looked at to name its encoding.
_LOOK_BYTES = 2**16
#: As ``sep=;``, perhaps with the separators of the other columns.
_DELIMITER_LINE = re.compile(r'"?sep=([^"\r\n])"?\1*[\r\n]*', re.IGNORECASE)
_OR_ELSE = ", or name the table's encoding"
#: Bytes that are read at a time.
_BLOCK_BYTES = 2**16


class CsvTable:
    """A CSV file whose first row names its columns. Only this row is read at first.

    Raises ``InvalidInput`` with the row, from 1.
    """

    def __init__(self, file: IO[bytes], columns: TableColumns, current: Settings) -> None:
        # This limit holds for the whole process, so it is only ever raised. ``_Lines`` keeps to the limit of this call.
        csv.field_size_limit(max(csv.field_size_limit(), current.max_line_bytes))
        self._file, self._limit = file, current.max_line_bytes
        self._encoding = columns.encoding or "utf-8"
        if self._encoding == "utf-8" and encoding.signature(file.read(_LOOK_BYTES)):
            raise self._wrong_encoding(1)
        said = self._said_delimiter()
        self._has_delimiter_line = said is not None
        self._delimiter = columns.delimiter or said or self._found_delimiter(columns)
        self._rows, self._lines = self._opened(self._delimiter)
        self._header = self._next() or []
        if not self._header:
            raise InvalidInput("the first row of a CSV body must name its columns", "body")
        if len(self._header) > current.max_columns:
            raise TooLarge(f"a table may have at most {current.max_columns} columns", "body")
        self._layout = RowLayout.of(self._header, columns)
        self.source = columns.source("csv", self._header, delimiter=self._delimiter, encoding=self._encoding)

    def _opened(self, delimiter: str) -> tuple[Iterator[list[str]], "_Lines"]:
        self._file.seek(0)
        lines = _Lines(self._file, self._encoding, self._limit)
        read = iter(lines)
        if self._has_delimiter_line:
            next(read)
            lines.row = 1
        return csv.reader(read, delimiter=delimiter, strict=True), lines

    def _said_delimiter(self) -> str | None:
        """The separator that a spreadsheet names in a line of its own, before the row of names."""
        self._file.seek(0)
        lines = _Lines(self._file, self._encoding, self._limit)
        lines.row = 1
        try:
            found = _DELIMITER_LINE.fullmatch(next(iter(lines), ""))
        except UnicodeError:
            raise self._wrong_encoding(1) from None
        return found and found[1]

    def _found_delimiter(self, columns: TableColumns) -> str:
        """The first one with which the header has all columns that are named; or else the one with the most columns."""
        n_columns = {}
        for each in DELIMITERS:
            self._rows, self._lines = self._opened(each)
            try:
                header = self._next() or []
            except InvalidInput:
                header = []
            if columns.named <= set(header):
                return each
            n_columns[each] = len(header)
        return max(DELIMITERS, key=lambda each: n_columns[each])

    def items(self, keep: Keep) -> Iterator[bytes]:
        """The items of all rows, which go to ``keep`` as well. A row whose fields are all empty is left out."""
        kept, layout, index, number = BlockBuilder(keep, CsvBlocks().packed), self._layout, 0, 0
        n_blank = 0
        width, texts, id_at, metadata = len(self._header), list(layout.texts.values()), layout.id, layout.metadata
        while (row := self._next()) is not None:
            if not any(row) and not len(row) == width == 1:
                n_blank += 1
                body.check_blank_lines(n_blank)
                continue  # a blank line, or separators alone; in a table of one column, "" is a blank cell
            if len(row) != width:
                row = self._fitted(row, index)
            named = {name: row[at] for name, at in metadata.items()} if metadata else None
            found = layout.items(number, [row[at] for at in texts], None if id_at is None else row[id_at], named)
            kept.add(row, 1, self._lines.size)
            number += 1
            index += len(found)
            yield from found
        kept.finish()

    def _fitted(self, row: list[str], index: int) -> list[str]:
        """A row with other separators at its end than the first row: nothing but empty fields may be more or fewer."""
        width = len(self._header)
        if any(row[width:]) or any(self._header[len(row) :]):
            raise InvalidInput("has more or fewer fields than the first row", f"row {self._lines.row}", index)
        return row[:width] + [""] * (width - len(row))

    def _wrong_encoding(self, row: int) -> InvalidInput:
        """The error for bytes that are no characters. It says what the file looks like."""
        self._file.seek(0)
        said = body.not_utf_8(self._file.read(_LOOK_BYTES), _OR_ELSE) if self._encoding == "utf-8" else None
        reason = said or f"is not {self._encoding.upper()}: name the table's encoding, or send UTF-8"
        return InvalidInput(reason, f"row {row}")

    def _next(self) -> list[str] | None:
        self._lines.row += 1
        self._lines.size = 0
        try:
            return next(self._rows, None)
        except UnicodeError:
            raise self._wrong_encoding(self._lines.row) from None
        except csv.Error:
            reason = "not valid CSV: a quote or a line end is in the wrong place"
            raise InvalidInput(reason, f"row {self._lines.row}") from None


class _Lines:
    """The file's lines as text, with their line ends. Who reads rows, which may have several lines, counts them."""

    def __init__(self, file: IO[bytes], named: str, limit: int) -> None:
        self._parts, self._named, self._limit = iter(partial(file.read, _BLOCK_BYTES), b""), named, limit
        #: The number of the current row, and its bytes in UTF-8 so far.
        self.row = self.size = 0

    def __iter__(self) -> Iterator[str]:
        for line in dialect.lines(self._parts, self._named, self._limit):
            self.size += len(line) if line.isascii() else len(line.encode())
            if self.size > self._limit:
                raise TooLarge(f"a row may have at most {self._limit} bytes", f"row {self.row}")
            yield line
