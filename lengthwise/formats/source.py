"""The rows of a table as it was sent, so that they can come back beside the results.

They are kept in blocks, compressed with zstd: rows of CSV as JSON, and rows of Parquet in Arrow's stream format, which
keeps every type. Only the latter need pyarrow.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from itertools import product
from typing import Any, Literal, NamedTuple, Protocol

import zstandard
from pydantic_core import from_json, to_json

SourceFormat = Literal["csv", "parquet"]

#: A block has at most so many rows, and ends at about so many bytes.
BLOCK_ROWS = 1000
BLOCK_BYTES = 2**20


class SourceTable(NamedTuple):
    """What a job's table was: its format, its columns in order, and which of them were read as texts.

    With several texts or ``targets``, each row became ``n_cells`` items, text by text and target by target.
    """

    format: SourceFormat
    columns: list[str]
    text_columns: list[str]
    targets: Sequence[str] = ()
    #: Of CSV.
    delimiter: str | None = None
    encoding: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether each row is one item, with the row's id."""
        return len(self.text_columns) == 1 and not self.targets

    @property
    def n_cells(self) -> int:
        return len(self.text_columns) * max(1, len(self.targets))

    @property
    def cells(self) -> list[str]:
        """A name for each item of a row; an empty one if the table is plain."""
        if self.is_plain:
            return [""]
        return [".".join(filter(None, each)) for each in product(self.text_columns, self.targets or [""])]


class RowBlock(NamedTuple):
    """Some rows of the table. ``first`` is the number of the first one, from 0."""

    first: int
    n_rows: int
    content: bytes


#: Takes each block while a table is read.
Keep = Callable[[RowBlock], None]


class BlockBuilder:
    """Collects the rows of a table, and hands them over as blocks. ``packed`` makes a block's content of some rows.

    A block ends at ``most_rows``, or at ``BLOCK_ROWS`` if they are not given.
    """

    def __init__(self, keep: Keep, packed: Callable[[list[Any]], bytes], most_rows: int = 0) -> None:
        self._keep, self._packed, self._most_rows = keep, packed, most_rows or BLOCK_ROWS
        self._rows: list[Any] = []
        self._first = self._n_rows = self._size = 0

    def add(self, rows: Any, n_rows: int, n_bytes: int) -> None:
        """Adds some rows, or one."""
        self._rows.append(rows)
        self._n_rows += n_rows
        self._size += n_bytes
        if self._n_rows >= self._most_rows or self._size >= BLOCK_BYTES:
            self.finish()

    def finish(self) -> None:
        """Hands over what was collected."""
        if self._n_rows:
            self._keep(RowBlock(self._first, self._n_rows, self._packed(self._rows)))
        self._first += self._n_rows
        self._rows, self._n_rows, self._size = [], 0, 0


class BlockFormat(Protocol):
    """What the module of a format can do with a block's content."""

    def texts(self, content: bytes, text_columns: Sequence[str]) -> list[list[str]]:
        """Each row's values as CSV shows them."""
        ...

    def taken(self, content: bytes, places: Sequence[int]) -> bytes:
        """A block of these rows alone; ``places`` count from the block's first row."""
        ...


class CsvBlocks:
    """Rows of CSV: lists of strings."""

    def packed(self, rows: Sequence[Sequence[str]]) -> bytes:
        return zstandard.compress(to_json(rows))

    def texts(self, content: bytes, text_columns: Sequence[str] = ()) -> list[list[str]]:
        found: list[list[str]] = from_json(zstandard.decompress(content), cache_strings="none")
        return found

    def taken(self, content: bytes, places: Sequence[int]) -> bytes:
        rows = self.texts(content)
        return self.packed([rows[place] for place in places])


def blocks_of(source_format: SourceFormat) -> BlockFormat:
    if source_format == "csv":
        return CsvBlocks()
    found: BlockFormat = import_module("lengthwise.formats.source_parquet").ParquetBlocks()
    return found


def picked(
    source_format: SourceFormat, blocks: Iterable[RowBlock], rows: Sequence[int]
) -> Iterator[tuple[list[int], bytes]]:
    """Blocks of these rows alone, each with the places that they had in the old block. The rows are in order."""
    known = blocks_of(source_format)
    for first, n_rows, content in blocks:
        places = [row - first for row in rows if first <= row < first + n_rows]
        if places:
            yield places, known.taken(content, places)
