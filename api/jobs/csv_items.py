"""Items from CSV (RFC 4180), read strictly and a row at a time.

The text is UTF-8, with or without a byte order mark. Commas separate fields, and quoted fields may hold newlines.
"""

import csv
from collections.abc import Iterator
from typing import IO

from api.jobs.table_row import RowLayout, TableColumns
from lengthwise.errors import InvalidInput, TooLarge
from lengthwise.settings import Settings

_MARK = b"\xef\xbb\xbf"


def of_csv(file: IO[bytes], columns: TableColumns, current: Settings) -> Iterator[bytes]:
    """The items of a CSV file whose first row names its columns. Raises ``InvalidInput`` with the row, from 1."""
    lines = _Lines(file, current.max_line_bytes)
    # This limit holds for the whole process, so it is only ever raised. ``_Lines`` keeps to the limit of this call.
    csv.field_size_limit(max(csv.field_size_limit(), current.max_line_bytes))
    rows = csv.reader(lines, strict=True)
    header = _next(rows, lines)
    if not header:
        raise InvalidInput("a CSV body's first row names its columns", "body")
    places, width, index = RowLayout.of(header, columns), len(header), 0
    while (row := _next(rows, lines)) is not None:
        if not row:
            continue  # a blank line
        if len(row) != width:
            raise InvalidInput("has more or fewer fields than the first row", f"row {lines.row}", index)
        yield places.item(row)
        index += 1


def _next(rows: Iterator[list[str]], lines: "_Lines") -> list[str] | None:
    lines.begin()
    try:
        return next(rows, None)
    except csv.Error:
        raise InvalidInput("not valid CSV: a quote or a line's end stands where none may", f"row {lines.row}") from None


class _Lines:
    """The file's lines as text, with their line ends. ``row`` counts rows, which may have several lines."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self.row = 0
        self._file, self._limit = file, limit
        self._size = 0

    def begin(self) -> None:
        """Counts a row that begins."""
        self.row += 1
        self._size = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._file.readline(self._limit + 1)
        if not line:
            raise StopIteration
        self._size += len(line)
        if self._size > self._limit:
            raise TooLarge(f"a row may have at most {self._limit} bytes", f"row {self.row}")
        if self.row == 1:
            line = line.removeprefix(_MARK)
        try:
            return line.decode()
        except UnicodeDecodeError:
            raise InvalidInput("is not UTF-8", f"row {self.row}") from None
