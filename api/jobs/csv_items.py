"""Items from the rows of a table: which column is what, and CSV (RFC 4180) read strictly, in the memory of a row.

UTF-8, with or without a byte order mark; fields are separated by commas, and quoted ones may hold newlines.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, Protocol

from pydantic_core import to_json

from lengthwise.errors import InvalidInput, TooLarge
from lengthwise.settings import Settings

_MARK = b"\xef\xbb\xbf"


class Columns(Protocol):
    """What the job's head says of the columns."""

    @property
    def text_column(self) -> str: ...
    @property
    def id_column(self) -> str | None: ...
    @property
    def metadata_columns(self) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Places:
    """Where in a row stands what."""

    text: int
    id: int | None
    metadata: dict[str, int]

    @classmethod
    def of(cls, header: Sequence[str], columns: Columns) -> "Places":
        """Raises ``InvalidInput`` where a column is not there, or twice."""
        places: dict[str, list[int]] = {}
        for at, name in enumerate(header):
            places.setdefault(name, []).append(at)

        def place(name: str, field: str) -> int:
            found = places.get(name, [])
            if len(found) != 1:
                raise InvalidInput("names a column that the table has " + ("twice" if found else "not"), field)
            return found[0]

        named = columns.id_column or ("id" if "id" in places else None)
        return cls(
            text=place(columns.text_column, "text_column"),
            id=None if named is None else place(named, "id_column"),
            metadata={name: place(name, f"metadata_columns[{at}]") for at, name in enumerate(columns.metadata_columns)},
        )

    def item(self, row: Sequence[Any]) -> bytes:
        """The row as an item's JSON; an id that is empty is none. Raises ``ValueError`` for what JSON has not."""
        found: dict[str, Any] = {"text": row[self.text]}
        if self.id is not None and row[self.id] not in (None, ""):
            found["id"] = str(row[self.id]) if type(row[self.id]) is int else row[self.id]
        if self.metadata:
            found["metadata"] = {name: row[at] for name, at in self.metadata.items()}
        return to_json(found, inf_nan_mode="null", bytes_mode="base64")


def of_csv(file: IO[bytes], columns: Columns, current: Settings) -> Iterator[bytes]:
    """The items of a CSV file whose first row names its columns. Raises ``InvalidInput`` naming the row: that is 1."""
    lines = _Lines(file, current.max_line_bytes)
    # Of the whole process, and so only ever raised: the lines keep to the limit themselves.
    csv.field_size_limit(max(csv.field_size_limit(), current.max_line_bytes))
    rows = csv.reader(lines, strict=True)
    header = _next(rows, lines)
    if not header:
        raise InvalidInput("a CSV body's first row names its columns", "body")
    places, width, index = Places.of(header, columns), len(header), 0
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
    """The file's lines with their ends, as text. ``row`` counts rows, which may have several lines."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self.row = 0
        self._file, self._limit = file, limit
        self._size = 0

    def begin(self) -> None:
        """A row begins."""
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
