"""Writes a job's results as CSV or Parquet. They are kept in a file until all columns are known."""

import errno
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from tempfile import SpooledTemporaryFile
from typing import IO

from pydantic_core import from_json

from api.jobs.body_format import BodyFormat
from lengthwise.errors import InvalidInput, NotFound, Unavailable
from lengthwise.formats import csv_lines
from lengthwise.formats.cells import CellsLayout
from lengthwise.formats.layout import Layout, TableLayout
from lengthwise.formats.source import RowBlock, SourceTable

_IN_MEMORY = 2**20


def check(body_format: BodyFormat, asked_by: str) -> None:
    """Raises ``InvalidInput`` if this installation cannot write the format; ``asked_by`` names the parameter."""
    if body_format is BodyFormat.PARQUET:
        try:
            import_module("pyarrow.parquet")
        except ModuleNotFoundError:
            raise InvalidInput("Parquet is not installed here: pip install 'lengthwise[parquet]'", asked_by) from None


@dataclass(frozen=True, slots=True)
class KeptRows:
    """The rows of a job's table. ``read`` gives the blocks that hold the rows from the first to the second number."""

    table: SourceTable
    read: Callable[[int, int], Iterable[RowBlock]]


def written(
    pages: Iterable[bytes], body_format: BodyFormat, delimiter: str = ",", kept: KeptRows | None = None
) -> Iterator[bytes]:
    """The table of these results, in parts; with ``kept``, beside the rows of which the items came.

    All results and rows are read before this returns. Raises what reading them raises, and ``Unavailable`` if the disk
    is full.
    """
    with ExitStack() as open_files:
        lines = open_files.enter_context(SpooledTemporaryFile(max_size=_IN_MEMORY))
        blocks = open_files.enter_context(SpooledTemporaryFile(max_size=_IN_MEMORY))
        layout: TableLayout = CellsLayout(kept.table) if kept else Layout()
        try:
            _learn(pages, layout, lines, _BlockFile(blocks, kept) if kept else None)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise Unavailable("there is no room for this table", retry_after=60, full=True) from None
        source = kept.table if kept else None
        if body_format is BodyFormat.CSV:
            table = csv_lines.written(lines, layout, delimiter, source, _blocks(blocks))
        else:
            parquet = import_module("lengthwise.formats.parquet_file")
            table = parquet.written(lines, layout, source, _blocks(blocks))
        parts = _with(open_files.pop_all(), table)
        return chain([next(parts)], parts)  # the generator has begun, so its end closes the files


def _with(open_files: ExitStack, parts: Iterator[bytes]) -> Iterator[bytes]:
    with open_files:
        yield from parts


def _learn(pages: Iterable[bytes], layout: TableLayout, lines: IO[bytes], kept: "_BlockFile | None") -> None:
    if kept:
        kept.add_to(0)  # a table without rows has its columns too
    for page in pages:
        lines.write(page)
        for line in page.splitlines():
            result = from_json(line)
            layout.see(result)
            if kept:
                kept.add_to(result["index"])
    lines.seek(0)


class _BlockFile:
    """Copies blocks of rows to a file, in order, as far as results need them."""

    def __init__(self, file: IO[bytes], kept: KeptRows) -> None:
        self._file, self._kept = file, kept
        self._end = 0

    def add_to(self, index: int) -> None:
        """Adds the blocks up to the row of this item."""
        row = index // self._kept.table.n_cells
        if row < self._end:
            return
        blocks = list(self._kept.read(row, row + 1))
        if not blocks:
            raise NotFound("there is no such job")  # it was deleted meanwhile
        for block in blocks:
            self._file.write(b"%d %d %d\n" % (block.first, block.n_rows, len(block.content)))
            self._file.write(block.content)
            self._end = block.first + block.n_rows


def _blocks(file: IO[bytes]) -> Iterator[RowBlock]:
    file.seek(0)
    while head := file.readline():
        first, n_rows, size = map(int, head.split())
        yield RowBlock(first, n_rows, file.read(size))
