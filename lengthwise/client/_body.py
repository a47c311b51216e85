"""What is put into a request's body: the job's head where its form has a place for it, and the items."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lengthwise.client._call import JobOptions
from lengthwise.client._spool import Spool
from lengthwise.errors import ConfigurationError
from lengthwise.formats import file as files
from lengthwise.formats.file import CONTENT_TYPES, FileFormat

NDJSON = CONTENT_TYPES["ndjson"]


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """Of a table: where the texts are, and the ids; what else comes back with each result."""

    text: str | None = None
    id: str | None = None
    metadata: Sequence[str] = ()

    def json(self) -> dict[str, object]:
        return {"text_column": self.text, "id_column": self.id, "metadata_columns": list(self.metadata) or None}


def begin(spool: Spool, head: JobOptions) -> None:
    """NDJSON, whose first line is the head."""
    spool.write(head.to_json() + b"\n")


def file(
    spool: Spool, source: str | Path | IO[bytes], form: FileFormat | None, head: JobOptions, columns: ColumnNames
) -> tuple[str, bytes | None]:
    """The whole body; its content type, and the head where that is not in it. Raises ``ConfigurationError``."""
    if not isinstance(source, (str, Path)):
        if form is None:
            raise ConfigurationError("an open file needs its form named")
        return _stream(spool, files.blocks(source, None), form, head, columns)
    path = Path(source)
    named = form or files.format_of(path)
    with files.reading(path) as opened:
        return _stream(spool, files.blocks(opened, files.ENCODINGS.get(path.suffix)), named, head, columns)


def _stream(
    spool: Spool, blocks: Iterable[bytes], form: FileFormat, head: JobOptions, columns: ColumnNames
) -> tuple[str, bytes | None]:
    is_table = form in ("csv", "parquet")
    if not is_table:
        begin(spool, head)
    if form == "txt":
        spool.add(files.texts(blocks))
    else:
        for block in blocks:
            spool.write(block)
    spool.finish()
    return CONTENT_TYPES[form], head.to_json(**columns.json()) if is_table else None
