"""The options that describe a job in a file, for every command that reads one: ``submit`` and ``estimate``."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar

import typer
from pydantic_core import from_json

from lengthwise.client import ColumnNames, ConfigurationError, FileFormat, Priority
from lengthwise.formats.file import FORMATS

Answer = TypeVar("Answer")

JobFile = Annotated[str, typer.Argument(help=f"File ({', '.join(FORMATS)}; also .gz or .zst), or - for stdin.")]
KindName = Annotated[str, typer.Option()]
Params = Annotated[
    list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="Another parameter of the kind.")
]
ModelName = Annotated[str | None, typer.Option(help="Model, one that `lengthwise models` lists.")]
JobPriority = Annotated[Priority | None, typer.Option(help="Priority among jobs.")]
Deadline = Annotated[str | None, typer.Option(help="When unfinished items expire: 2031-01-31T12:00:00Z.")]
WebhookUrl = Annotated[str | None, typer.Option(metavar="URL", help="URL to notify when the job has ended.")]
TextColumns = Annotated[
    list[str] | None,
    typer.Option("--column", "--text-column", help="CSV, Parquet: column of texts; repeatable; default: text."),
]
IdColumn = Annotated[str | None, typer.Option(help="CSV, Parquet: column of the ids; id by default, if it exists.")]
MetadataColumns = Annotated[
    list[str] | None, typer.Option(help="CSV, Parquet: column that NDJSON has with each result; repeatable.")
]
Delimiter = Annotated[
    str | None, typer.Option(help="CSV: what separates the columns; ; or tab; default: found in the first row.")
]
Encoding = Annotated[
    str | None, typer.Option(help="CSV, text: encoding of the file, such as windows-1252; default: utf-8.")
]
JobName = Annotated[str | None, typer.Option(help="Name of the job, for people and for `lengthwise jobs`.")]
Tags = Annotated[list[str] | None, typer.Option(help="Tag of the job, for `lengthwise jobs`; repeatable.")]
NamedFormat = Annotated[
    FileFormat | None, typer.Option("--format", help="Format, if the suffix does not say it; stdin: ndjson.")
]


def read_params(pairs: list[str], options: dict[str, str]) -> dict[str, Any]:
    """A value that is not JSON is taken as text. Raises ``ConfigurationError``."""
    found: dict[str, Any] = dict(options)
    for each in pairs:
        name, equals, value = each.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigurationError("--param must be NAME=VALUE, such as temperature=0.7")
        try:
            found[name] = from_json(value, allow_inf_nan=False)
        except ValueError:
            found[name] = value
    return found


def column_names(
    params: dict[str, Any],
    column: list[str] | None,
    id_column: str | None,
    metadata_column: list[str] | None,
    delimiter: str | None,
    encoding: str | None,
) -> ColumnNames:
    """Several languages in --to, such as de,fr, are the targets of a table; they are taken out of ``params``."""
    named = params.get("target")
    targets = params.pop("target").split(",") if isinstance(named, str) and "," in named else []
    return ColumnNames(column, id_column, metadata_column or (), targets, delimiter=delimiter, encoding=encoding)


def source_file(file: str) -> str | None:
    """The file's own name, as UTF-8 has it and no longer than the server takes; None for stdin."""
    return None if file == "-" else os.fsencode(Path(file).name).decode(errors="replace")[:255] or None


def sent_file(send: Callable[..., Answer], file: str, *, file_format: FileFormat | None, **options: Any) -> Answer:
    """Calls a method of the client that takes a file; ``-`` is stdin."""
    source: str | IO[bytes] = sys.stdin.buffer if file == "-" else file
    return send(source, file_format=(file_format or "ndjson") if file == "-" else file_format, **options)
