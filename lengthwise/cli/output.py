"""Results into a file of the form that its suffix says, from the lines of JSON that a download left."""

import os
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import IO

from pydantic_core import from_json

from lengthwise.client._resource import Result
from lengthwise.errors import ConfigurationError
from lengthwise.formats import csv_lines
from lengthwise.formats import file as files
from lengthwise.formats.file import FileFormat
from lengthwise.formats.layout import Layout


def check(out: Path) -> FileFormat:
    """The form of this file. Raises ``ConfigurationError`` where it cannot be written."""
    form = files.format_of(out)
    if form == "parquet":
        try:
            import_module("pyarrow.parquet")
        except ModuleNotFoundError:
            raise ConfigurationError("Parquet is not installed: pip install 'lengthwise[parquet]'") from None
    if not out.parent.is_dir():
        raise ConfigurationError(f"{out.parent} is no folder")
    return form


def write(source: IO[bytes], out: Path) -> None:
    """All lines of ``source`` from where it stands, whole or not at all: under a name of its own until it is done."""
    form, start = check(out), source.tell()
    unfinished = out.with_name(f"{out.name}.writing")
    try:
        with files.writing(unfinished, named=out) as sink:
            for block in _blocks(source, start, form):
                sink.write(block)
        unfinished.replace(out)
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be written: {os.strerror(error.errno or 0)}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _blocks(source: IO[bytes], start: int, form: FileFormat) -> Iterable[bytes]:
    if form == "ndjson":
        return source
    if form == "txt":
        return _texts(source)
    layout = Layout()
    for line in source:
        layout.see(from_json(line))
    source.seek(start)
    if form == "csv":
        return csv_lines.written(source, layout)
    blocks: Iterable[bytes] = import_module("lengthwise.formats.parquet_file").written(source, layout)
    return blocks


def _texts(source: IO[bytes]) -> Iterator[bytes]:
    """A line an item, empty where it failed: newlines within a text become spaces, so that lines answer to lines."""
    for line in source:
        text = Result.model_validate_json(line).text or ""
        yield " ".join(text.splitlines()).encode() + b"\n"
