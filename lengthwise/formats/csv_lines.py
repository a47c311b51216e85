"""Results as CSV (RFC 4180): UTF-8, with a header row, and with CR LF at the end of each line."""

import csv
from collections.abc import Iterable, Iterator
from io import StringIO
from typing import Any

from pydantic_core import to_json

from lengthwise.formats.layout import TableLayout
from lengthwise.formats.source import RowBlock, SourceTable, blocks_of

#: A block is held in memory. It ends at so many rows or characters.
_BLOCK_ROWS = 200
_BLOCK_CHARACTERS = 2**18


def written(
    lines: Iterable[bytes], layout: TableLayout, delimiter: str = ",", source: SourceTable | None = None,
    blocks: Iterable[RowBlock] = (),
) -> Iterator[bytes]:  # fmt: skip
    """Converts lines of JSON to CSV. Yields the header row, then blocks of rows.

    A string is written as it is; numbers, true, false and lists as JSON. A value that is null or missing is empty.
    With ``source``, the columns of that table come first; ``blocks`` are its rows, in order.
    """
    names = [column.name for column in layout.columns]
    rows = layout.rows(lines)
    if source is None:
        yield _text([names], delimiter)
        found: Iterator[list[str]] = ([_cell(value) for value in row.values] for row in rows)
    else:
        yield _text([source.columns + names], delimiter)
        kept = _TextRows(source, blocks)
        found = (kept.row(row.number) + [_cell(value) for value in row.values] for row in rows)
    for block in _blocks(found):
        yield _text(block, delimiter)


def _blocks(rows: Iterable[list[str]]) -> Iterator[list[list[str]]]:
    block: list[list[str]] = []
    size = 0
    for row in rows:
        block.append(row)
        size += sum(map(len, row))
        if len(block) == _BLOCK_ROWS or size >= _BLOCK_CHARACTERS:
            yield block
            block, size = [], 0
    if block:
        yield block


class _TextRows:
    """The rows of a table by their numbers, which must be asked for in order."""

    def __init__(self, source: SourceTable, blocks: Iterable[RowBlock]) -> None:
        self._source, self._blocks = source, iter(blocks)
        self._rows: list[list[str]] = []
        self._first = 0

    def row(self, number: int) -> list[str]:
        while number >= self._first + len(self._rows):
            block = next(self._blocks)
            self._first = block.first
            self._rows = blocks_of(self._source.format).texts(block.content, self._source.text_columns)
        return self._rows[number - self._first]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value).decode()


def _text(rows: Iterable[list[str]], delimiter: str) -> bytes:
    out = StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(rows)
    return out.getvalue().encode()
