"""Writes the body of a submission: the job's options, if the format has a place for them, and the items."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lengthwise import json_line
from lengthwise.client._call import JobOptions
from lengthwise.client._spool import Spool
from lengthwise.errors import ConfigurationError
from lengthwise.formats import file as files
from lengthwise.formats.file import CONTENT_TYPES, FileFormat

NDJSON = CONTENT_TYPES["ndjson"]


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The columns of a table: of the texts, of the ids, and of the metadata that comes back with each result."""

    text: str | None = None
    id: str | None = None
    metadata: Sequence[str] = ()

    def json(self) -> dict[str, object]:
        return {"text_column": self.text, "id_column": self.id, "metadata_columns": list(self.metadata) or None}


def write_options(spool: Spool, options: JobOptions) -> None:
    """Writes the options as the first line of NDJSON."""
    spool.write(json_line.escaped(options.to_json()) + b"\n")


def write_file(
    spool: Spool, source: str | Path | IO[bytes], file_format: FileFormat | None, options: JobOptions,
    columns: ColumnNames,
) -> tuple[str, bytes | None]:  # fmt: skip
    """Writes the whole body. Returns its content type, and the options if the body does not hold them.

    Raises ``ConfigurationError``.
    """
    if not isinstance(source, (str, Path)):
        if file_format is None:
            raise ConfigurationError("an open file needs file_format")
        return _write(spool, files.decompressed(source, None), file_format, options, columns)
    path = Path(source)
    named = file_format or files.format_of(path)
    with files.open_to_read(path) as opened:
        blocks = files.decompressed(opened, files.ENCODINGS.get(path.suffix))
        return _write(spool, blocks, named, options, columns)


def _write(
    spool: Spool, blocks: Iterable[bytes], file_format: FileFormat, options: JobOptions, columns: ColumnNames
) -> tuple[str, bytes | None]:
    is_table = file_format in ("csv", "parquet")
    if not is_table:
        write_options(spool, options)
    if file_format == "txt":
        spool.add(files.text_lines(blocks))
    else:
        for block in blocks:
            spool.write(block)
    spool.finish()
    return CONTENT_TYPES[file_format], options.to_json(**columns.json()) if is_table else None
