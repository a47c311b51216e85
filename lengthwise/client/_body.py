"""Writes the body of a submission: the job's options, if the format has a place for them, and the items."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from lengthwise import json_line
from lengthwise.client._call import JobOptions
from lengthwise.client._spool import Spool
from lengthwise.errors import ConfigurationError
from lengthwise.formats import dialect
from lengthwise.formats import file as files
from lengthwise.formats.file import CONTENT_TYPES, FileFormat

NDJSON = CONTENT_TYPES["ndjson"]


@dataclass(frozen=True, slots=True)
class ColumnNames:
    """The columns of a table: of the texts, of the ids, and of the metadata that NDJSON has with each result.

    With several columns of texts, or several ``targets``, each row becomes an item for each of them.
    """

    text: str | Sequence[str] | None = None
    id: str | None = None
    metadata: Sequence[str] = ()
    targets: Sequence[str] = ()
    #: Of CSV. Without it, the server finds it in the first row.
    delimiter: str | None = None
    #: Of CSV and of text files; UTF-8 if it is not given.
    encoding: str | None = None

    def json(self) -> dict[str, object]:
        """The fields of the job's header."""
        texts = [self.text] if isinstance(self.text, str) else list(self.text or ())
        return {
            "text_column": texts[0] if len(texts) == 1 else None,
            "text_columns": texts if len(texts) > 1 else None,
            "id_column": self.id,
            "metadata_columns": list(self.metadata) or None,
            "targets": list(self.targets) or None,
            "delimiter": self.delimiter,
            "encoding": self.encoding,
        }


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
    is_table = file_format in ("csv", "tsv", "parquet")
    if file_format == "tsv":
        columns = replace(columns, delimiter=columns.delimiter or "\t")
    if not is_table:
        _check_untabled(file_format, columns)
        write_options(spool, options)
    if file_format == "txt":
        spool.add(files.text_lines(blocks, _encoding(columns)))
    else:
        for block in blocks:
            spool.write(block)
    spool.finish()
    return CONTENT_TYPES[file_format], options.to_json(**columns.json()) if is_table else None


def _check_untabled(file_format: FileFormat, columns: ColumnNames) -> None:
    """Nothing that was asked for is passed over. Raises ``ConfigurationError``."""
    if columns.targets:
        raise ConfigurationError("several targets need CSV or Parquet; submit other files once for each target")
    if columns.delimiter is not None:
        raise ConfigurationError("only a CSV file has a delimiter")
    if columns.text or columns.id is not None or columns.metadata:
        raise ConfigurationError(f"names of columns go with tables; a file of the format {file_format} has none")
    if columns.encoding is not None and file_format != "txt":
        raise ConfigurationError("an encoding can be named for CSV and text files only; JSON is always UTF-8")


def _encoding(columns: ColumnNames) -> str:
    try:
        return dialect.encoding(columns.encoding or "utf-8")
    except ValueError as error:
        raise ConfigurationError(f"the encoding {error}") from None
