"""The columns of a table of results. Nested objects become dotted names, such as ``output.text``.

The columns are known only after every result was seen. So results are read twice: to learn the columns, and to write.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from pydantic_core import from_json, to_json

#: The order of the columns, by the first part of their names. Those in ``_ALWAYS`` exist even if no result has them.
_TOP = ("index", "id", "status", "output", "warnings", "error", "usage", "model_revision", "metadata")
#: If one top-level name has more columns than this, it becomes a single column of JSON.
MAX_COLUMNS = 200


class ColumnType(StrEnum):
    """What a column holds. Any column may also hold ``None``."""

    INTEGER = "integer"
    #: Integers of which some are larger than those that every double can hold.
    LARGE_INTEGER = "large integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    #: Strings; other values among them become JSON.
    TEXT = "text"
    #: Lists of numbers.
    VECTOR = "vector"


_ALWAYS = {
    "index": ColumnType.INTEGER,
    "id": ColumnType.TEXT,
    "status": ColumnType.TEXT,
    "warnings": ColumnType.TEXT,
    "error.code": ColumnType.TEXT,
    "error.message": ColumnType.TEXT,
    "usage.input_tokens": ColumnType.INTEGER,
    "usage.output_tokens": ColumnType.INTEGER,
    "model_revision": ColumnType.TEXT,
}


class Column(NamedTuple):
    """A column of the table."""

    name: str
    type: ColumnType


class Row(NamedTuple):
    """One row of the table. ``number`` counts the rows that were asked for, ``n_bytes`` is the size of its results."""

    number: int
    values: list[Any]
    n_bytes: int


class TableLayout(Protocol):
    """Learns the columns from results, then converts lines of results to rows."""

    def see(self, result: dict[str, Any]) -> None:
        """Adds the columns of one result."""
        ...

    @property
    def columns(self) -> list[Column]:
        """The columns that were seen, in their order in the table."""
        ...

    def rows(self, lines: Iterable[bytes]) -> Iterator[Row]:
        """The rows, with their values in the order of ``columns``."""
        ...


class Layout:
    """A table with one row for each result. Values of the names in ``without`` are left out."""

    def __init__(self, without: frozenset[str] = frozenset()) -> None:
        self._without = without
        always = {name: kind for name, kind in _ALWAYS.items() if name not in without}
        self._types: dict[str, ColumnType | None] = dict(always)
        self._widths: Counter[str] = Counter(name.partition(".")[0] for name in always)
        self._collapsed: set[str] = set()

    def see(self, result: dict[str, Any]) -> None:
        """Adds the columns of one result."""
        for name, value in _leaves(self._wanted(result)):
            top = name.partition(".")[0]
            if top in self._collapsed:
                continue
            if name not in self._types:
                self._types[name] = None
                self._widths[top] += 1
                if self._widths[top] > MAX_COLUMNS:
                    self._collapse(top)
                    continue
            if value is not None:
                self._types[name] = _wider(self._types[name], _type(value))

    def _collapse(self, top: str) -> None:
        self._collapsed.add(top)
        self._types = {name: kind for name, kind in self._types.items() if name.partition(".")[0] != top}
        self._types[top] = ColumnType.TEXT

    @property
    def columns(self) -> list[Column]:
        """The columns that were seen, in their order in the table."""
        found = [Column(name, kind or ColumnType.TEXT) for name, kind in self._types.items()]
        return sorted(
            found, key=lambda column: _rank(column.name)
        )  # a stable sort: columns of one rank stay in the order in which they were seen

    def rows(self, lines: Iterable[bytes]) -> Iterator[Row]:
        """One row for each line."""
        columns = self.columns
        for line in lines:
            result = from_json(line)
            yield Row(result["index"], self.values(result, columns), len(line))

    def values(self, result: dict[str, Any], columns: list[Column]) -> list[Any]:
        """The values of one result; ``columns`` are those of this layout."""
        values = dict(self._values(self._wanted(result)))
        return [_fitting(values.get(column.name), column.type) for column in columns]

    def _wanted(self, result: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in result.items() if name not in self._without}

    def _values(self, result: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        for name in self._collapsed & result.keys():
            yield name, None if result[name] is None else to_json(result[name]).decode()
        yield from _leaves({name: value for name, value in result.items() if name not in self._collapsed})


def _rank(name: str) -> int:
    top = name.partition(".")[0]
    return _TOP.index(top) if top in _TOP else len(_TOP)


def _leaves(found: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Each value with its dotted name. An object is not taken apart if one of its names is empty or has a dot.

    An empty object in an output has no values, so it is no column.
    """
    for name, value in found.items():
        if isinstance(value, dict) and value and not any("." in inner or not inner for inner in value):
            yield from _leaves(value, f"{before}{name}.")
        elif value != {} or not before.startswith("output."):  # such as the categories of a blank text
            yield before + name, value


def _type(value: Any) -> ColumnType:
    match value:
        case bool():
            return ColumnType.BOOLEAN
        case int():
            return _integer_type(value)
        case float():
            return ColumnType.NUMBER
        case list() if value and all(type(each) in (int, float) and abs(each) < 2**53 for each in value):
            return ColumnType.VECTOR
        case _:
            return ColumnType.TEXT


def _integer_type(value: int) -> ColumnType:
    if -(2**53) <= value <= 2**53:
        return ColumnType.INTEGER
    return ColumnType.LARGE_INTEGER if -(2**63) <= value < 2**63 else ColumnType.TEXT


def _wider(known: ColumnType | None, new: ColumnType) -> ColumnType:
    if known in (None, new):
        return new
    both = {known, new}
    if ColumnType.INTEGER in both and both <= {ColumnType.INTEGER, ColumnType.LARGE_INTEGER, ColumnType.NUMBER}:
        return (both - {ColumnType.INTEGER}).pop()
    return ColumnType.TEXT  # also for large integers among doubles, which would change them


def _fitting(value: Any, kind: ColumnType) -> Any:
    if value is None or (kind is not ColumnType.TEXT) or isinstance(value, str):
        return value
    return to_json(value).decode()
