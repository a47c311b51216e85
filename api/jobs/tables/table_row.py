"""Items from the rows of a table: which column holds what, and how a row becomes the JSON of its items."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import to_json

from lengthwise.errors import InvalidInput
from lengthwise.formats import dialect
from lengthwise.formats.source import SourceFormat, SourceTable
from lengthwise.kinds.kind import RequestPart, Text

_Name = Annotated[Text, Field(max_length=200)]
_Target = Annotated[Text, Field(min_length=1, max_length=40)]
_Encoding = Annotated[Text, Field(max_length=40), AfterValidator(dialect.encoding)]
_Delimiter = Annotated[Text, AfterValidator(dialect.delimiter)]

#: So much of a table's header an error shows.
_SHOWN_COLUMNS, _SHOWN_CHARACTERS = 20, 40


class TableColumns(RequestPart):
    """Which columns of a table are read, and how. The job's header names them, beside its own fields."""

    text_column: _Name | None = Field(default=None, description="The column of the texts, or else the column text.")
    text_columns: list[_Name] = Field(default=[], max_length=20, description="Several columns of texts.")
    id_column: _Name | None = Field(default=None, description="The column of the ids, or else the column id.")
    metadata_columns: list[_Name] = Field(default=[], max_length=200, description="Returned with each result.")
    targets: list[_Target] = Field(default=[], max_length=20, description="Each text becomes an item for each of them.")
    delimiter: _Delimiter | None = Field(default=None, description="Of CSV; found in the first row if not given.")
    encoding: _Encoding | None = Field(default=None, description="Of CSV; UTF-8 if not given.")

    @model_validator(mode="after")
    def _says_each_once(self) -> "TableColumns":
        if self.text_column is not None and self.text_columns:
            raise ValueError("must name text_column or text_columns, not both")
        if len(set(self.text_columns)) < len(self.text_columns) or len(set(self.targets)) < len(self.targets):
            raise ValueError("names a column of texts or a target twice")
        return self

    @property
    def texts(self) -> list[str]:
        return self.text_columns or [self.text_column or "text"]

    @property
    def named(self) -> set[str]:
        """All columns that must exist."""
        return {*self.texts, *self.metadata_columns} | ({self.id_column} if self.id_column else set())

    def source(self, source_format: SourceFormat, header: Sequence[str], **more: Any) -> SourceTable:
        return SourceTable(source_format, list(header), self.texts, self.targets, **more)


@dataclass(frozen=True, slots=True)
class RowLayout:
    """Where each part of an item stands in a row."""

    #: By the column's name.
    texts: dict[str, int]
    id: int | None
    metadata: dict[str, int]
    targets: Sequence[str]

    @classmethod
    def of(cls, header: Sequence[str], columns: TableColumns) -> "RowLayout":
        """Raises ``InvalidInput`` if a column is missing or occurs twice. It lists the columns that there are."""
        places: dict[str, list[int]] = {}
        for at, name in enumerate(header):
            if "\0" in name:
                raise InvalidInput("names a column with the character U+0000", "row 1")
            places.setdefault(name, []).append(at)

        def place(name: str, field: str) -> int:
            found = places.get(name, [])
            if len(found) == 1:
                return found[0]
            reason = "names a column that the table " + ("has twice" if found else "does not have")
            raise InvalidInput(f"{reason}; its columns: {_shown(header)}", field)

        def text_field(at: int) -> str:
            return f"text_columns[{at}]" if columns.text_columns else "text_column"

        named = columns.id_column or ("id" if "id" in places else None)
        return cls(
            texts={name: place(name, text_field(at)) for at, name in enumerate(columns.texts)},
            id=None if named is None else place(named, "id_column"),
            metadata={name: place(name, f"metadata_columns[{at}]") for at, name in enumerate(columns.metadata_columns)},
            targets=columns.targets,
        )

    def items(
        self, number: int, texts: Sequence[str | None], own_id: str | None, metadata: dict[str, Any] | None
    ) -> list[bytes]:
        """The row as the JSON of its items: one, or one for each column of texts and each target.

        An empty id is no id. Of several items the metadata says which one it is, since an id belongs to one item only.
        Raises ``ValueError`` for a value that JSON cannot hold.
        """
        if len(texts) == 1 and not self.targets:
            found: dict[str, Any] = {"text": texts[0] or ""}
            if own_id:
                found["id"] = own_id
            if metadata:
                found["metadata"] = metadata
            return [_json(found)]
        more = ({"id": own_id} if own_id else {}) | ({"values": metadata} if metadata else {})
        cells = []
        for (column, text), target in product(zip(self.texts, texts, strict=True), self.targets or [""]):
            aimed = {"target": target} if target else {}
            which = {"row": number, "column": column, **aimed, **more}
            cells.append(_json({"text": text or "", **aimed, "metadata": which}))
        return cells


def _json(item: dict[str, Any]) -> bytes:
    return to_json(item, inf_nan_mode="null", bytes_mode="base64")


def _shown(header: Sequence[str]) -> str:
    short = [name if len(name) <= _SHOWN_CHARACTERS else f"{name[:_SHOWN_CHARACTERS]}…" for name in header]
    more = f" and {len(short) - _SHOWN_COLUMNS} more" if len(short) > _SHOWN_COLUMNS else ""
    return ", ".join(repr(name) for name in short[:_SHOWN_COLUMNS]) + more
