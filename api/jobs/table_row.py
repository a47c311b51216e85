"""Items from the rows of a table: which column holds what, and how a row becomes an item's JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field
from pydantic_core import to_json

from lengthwise.errors import InvalidInput
from lengthwise.kinds.kind import RequestPart, Text

_Name = Annotated[Text, Field(max_length=200)]


class TableColumns(RequestPart):
    """Which columns of a table are read. The job's header names them, beside its own fields."""

    text_column: _Name = Field(default="text", description="The column of the texts.")
    id_column: _Name | None = Field(default=None, description="The column of the ids, or else the column id.")
    metadata_columns: list[_Name] = Field(default=[], max_length=200, description="Returned with each result.")


@dataclass(frozen=True, slots=True)
class RowLayout:
    """Where each part of an item stands in a row."""

    text: int
    id: int | None
    metadata: dict[str, int]

    @classmethod
    def of(cls, header: Sequence[str], columns: TableColumns) -> "RowLayout":
        """Raises ``InvalidInput`` if a column is missing or occurs twice."""
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
        """The row as an item's JSON; an empty id is no id. Raises ``ValueError`` for a value that JSON cannot hold."""
        found: dict[str, Any] = {"text": row[self.text]}
        if self.id is not None and row[self.id] not in (None, ""):
            found["id"] = str(row[self.id]) if type(row[self.id]) is int else row[self.id]
        if self.metadata:
            found["metadata"] = {name: row[at] for name, at in self.metadata.items()}
        return to_json(found, inf_nan_mode="null", bytes_mode="base64")
