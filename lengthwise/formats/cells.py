"""The results of a table's items beside its rows: one row for each row that was sent."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from pydantic_core import from_json

from lengthwise.formats.layout import Column, Layout, Row
from lengthwise.formats.source import SourceTable

#: What the columns that were sent say already.
_SENT = frozenset({"index", "id", "metadata"})


class CellsLayout:
    """The new columns of a table whose rows became ``source.n_cells`` items each.

    A new column whose name the table has already is named ``result.NAME``.
    """

    def __init__(self, source: SourceTable) -> None:
        self._source = source
        self._cells = [Layout(_SENT) for _ in range(source.n_cells)]

    def see(self, result: dict[str, Any]) -> None:
        """Adds the columns of one result."""
        self._cells[result["index"] % len(self._cells)].see(result)

    @property
    def columns(self) -> list[Column]:
        """The columns that were seen, in their order in the table, item by item."""
        taken, found = set(self._source.columns), []
        for cell, layout in zip(self._source.cells, self._cells, strict=True):
            for column in layout.columns:
                name = _name(cell, column.name, bool(self._source.targets))
                while name in taken:
                    name = f"result.{name}"
                taken.add(name)
                found.append(Column(name, column.type))
        return found

    def rows(self, lines: Iterable[bytes]) -> Iterator[Row]:
        """One row for each row that was sent and has a result. Lines of one row are adjacent."""
        n_cells, columns = len(self._cells), [layout.columns for layout in self._cells]
        empty = [[None] * len(each) for each in columns]
        for number, group in groupby(map(_read, lines), lambda read: read[0]["index"] // n_cells):
            values: list[list[Any]] = list(empty)
            n_bytes = 0
            for result, size in group:
                at = result["index"] % n_cells
                values[at] = self._cells[at].values(result, columns[at])
                n_bytes += size
            yield Row(number, [value for each in values for value in each], n_bytes)


def _read(line: bytes) -> tuple[dict[str, Any], int]:
    return from_json(line), len(line)


def _name(cell: str, name: str, has_targets: bool) -> str:
    """A translation is named by its column and target alone, such as ``title.de``."""
    if not cell:
        return name
    if name == "output.text" and has_targets:
        return cell
    return f"{cell}.{name.removeprefix('output.')}"
